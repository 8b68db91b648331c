/** `niveau3 status`: the running server on one screen. */

import { setTimeout as sleep } from 'node:timers/promises'
import { InvalidArgumentError, type Command } from 'commander'
import { DAY_S, HOUR_S, MINUTE_S, MiB, SECOND_MS } from '../../base/units.ts'
import { Status } from '../admin/status.ts'
import { msText, percent, rateText } from './amounts.ts'
import type { AdminClient } from './admin-client.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { observerText } from './observing.ts'
import { addServerOptions, findServer, type ServerOptions } from './server-options.ts'
import { printable, type Terminal } from './terminal.ts'

const WATCH_SECONDS_MAX = HOUR_S
const LABEL_CHARS = 11
const UPSTREAMS_A_LINE = 2
/** Back to the first line and column, and nothing below. */
const CLEAR = '\u001B[H\u001B[2J'

interface Options extends ServerOptions {
  /** Seconds between two looks. */
  readonly watch?: number
}

/** Adds the command. */
export function addStatus(program: Command, cli: Cli): void {
  const command = program
    .command('status')
    .description('show the running server on one screen; ends with 3 when none runs')
    .option('--watch <seconds>', 'show it again and again, such as 2s, until Ctrl-C', parseSeconds)
    .action((options: Options) => status(options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 status', 'niveau3 status --watch 2s', 'niveau3 status --json'])
}

function parseSeconds(text: string): number {
  const seconds = Number(/^(\d{1,4})s?$/.exec(text)?.[1])
  if (seconds >= 1 && seconds <= WATCH_SECONDS_MAX) return seconds
  throw new InvalidArgumentError(`Write 1s to ${WATCH_SECONDS_MAX}s.`)
}

async function status(options: Options, cli: Cli): Promise<void> {
  const server = findServer(options, cli)
  await show(server, options, cli.terminal)
  while (options.watch !== undefined) {
    await sleep(options.watch * SECOND_MS)
    await show(server, options, cli.terminal)
  }
}

async function show(server: AdminClient, options: Options, terminal: Terminal): Promise<void> {
  const state = await server.ask('/v1/status', Status)
  if (options.json && options.watch === undefined) printJson(terminal, 'status', state)
  else if (options.json) {
    terminal.out(`${JSON.stringify({ schema: 'niveau3.status/1', ...state })}\n`)
  } else {
    if (options.watch !== undefined && terminal.isWatched) terminal.out(CLEAR)
    terminal.out(statusText(state, terminal))
  }
}

/** The screen. Only ASCII; meaning never hangs on colour. */
export function statusText(state: Status, terminal: Terminal): string {
  const { generation, generationSince, node, pid, uptimeSeconds, version } = state
  const name = terminal.paint('bold', `niveau3 ${version}`)
  const since = generationSince.slice(0, 16).replace('T', ' ')
  const lines = [
    `${name}  up ${durationText(uptimeSeconds)}  pid ${pid}  node ${node}  ` +
      `filtering: ${filteringText(state, terminal)}  generation ${generation} (since ${since} UTC)`,
    ...labelled('Traffic', [trafficText(state.traffic)]),
    ...labelled('Lists', listLines(state, terminal)),
    ...labelled('Upstreams', upstreamLines(state, terminal)),
    ...labelled('Overruled', overruledLines(state, terminal)),
    ...labelled('Redis', [redisText(state, terminal)]),
    ...labelled('Memory', [
      `${Math.round(state.memoryOctets / MiB)} MiB   workers ${state.workersAlive}`,
    ]),
    ...labelled('Log', logLines(state, terminal)),
    ...labelled('TROUBLE', troubleLines(state)).map((line) => terminal.paint('red', line)),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

/** Nothing is kept, but somebody may look. */
function logLines({ observers }: Status, { paint }: Terminal): readonly string[] {
  const looks = observers.map((observer) => paint('yellow', observerText(observer)))
  return ['no query and no client is kept', ...looks]
}

function labelled(label: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, index) => (index === 0 ? label : '').padEnd(LABEL_CHARS) + line)
}

/** A pause of one site or category leaves the filter on for the rest. */
function filteringText({ pauses }: Status, { paint }: Terminal): string {
  if (pauses.some(({ category, site }) => category === null && site === null)) {
    return paint('red', 'PAUSED')
  }
  return pauses.length > 0 ? paint('yellow', 'PARTLY PAUSED') : paint('green', 'ON')
}

function overruledLines({ pauses, rules }: Status, { paint }: Terminal): readonly string[] {
  const { allow, deny, nextEnd } = rules
  const end = nextEnd === null ? '' : ` (first end ${untilText(nextEnd)})`
  const paused = pauses.map(({ category, site, until }) => {
    const what = [category ?? 'everything', ...(site === null ? [] : [`at ${site}`])].join(' ')
    return paint('yellow', `paused: ${printable(what)} until ${untilText(until)}`)
  })
  const none = pauses.length === 0 ? '   pauses none' : ''
  return [`allowed ${allow}   denied ${deny}${end}${none}`, ...paused]
}

function untilText(at: string): string {
  return `${at.slice(0, 16).replace('T', ' ')} UTC`
}

function trafficText(traffic: Status['traffic']): string {
  const { answersPerSecond, blockedShare, cachedShare, droppedShare, servfailShare } = traffic
  const { p50Ms, p99Ms, seconds } = traffic
  const times = p50Ms === null ? '' : `   p50 ${msText(p50Ms)}   p99 ${msText(p99Ms)}`
  return (
    `${durationText(seconds)}: ${rateText(answersPerSecond)}/s   blocked ${percent(blockedShare)}   ` +
    `cached ${percent(cachedShare)}${times}   servfail ${percent(servfailShare)}   ` +
    `dropped ${percent(droppedShare)}`
  )
}

function listLines({ lists, names }: Status, { paint }: Terminal): readonly string[] {
  const { failed, held, nextUpdateAt, ok, stale } = lists
  const staleText = stale
    .map(({ list, ageSeconds }) =>
      ageSeconds === null ? `${list}: never` : `${list}: ${durationText(ageSeconds)}`,
    )
    .join(', ')
  const failedText = failed.map(({ list, failures }) => `${list}: ${failures} times`).join(', ')
  const next = held
    ? 'updates held by a rollback: niveau3 lists resume'
    : nextUpdateAt === null
      ? 'no update planned'
      : `next update ${nextText(nextUpdateAt)}`
  const lines = [`${ok} ok   ${groupDigits(names)} names   ${next}`]
  if (stale.length > 0) lines.push(paint('yellow', `${stale.length} stale (${staleText})`))
  if (failed.length > 0) lines.push(paint('red', `${failed.length} failed (${failedText})`))
  return lines
}

function upstreamLines({ upstreams }: Status, { paint }: Terminal): readonly string[] {
  if (upstreams.length === 0) return ['none']
  const texts = upstreams.map(({ responseMs, up, upstream }) => {
    const word = up ? paint('green', 'up') : paint('red', 'DOWN')
    return `${printable(upstream)} ${word}${responseMs === null ? '' : ` ${msText(responseMs)}`}`
  })
  const lines: string[] = []
  for (let from = 0; from < texts.length; from += UPSTREAMS_A_LINE) {
    lines.push(texts.slice(from, from + UPSTREAMS_A_LINE).join('   '))
  }
  return lines
}

function redisText({ redis }: Status, { paint }: Terminal): string {
  if (redis === null) return 'not used'
  const { responseMs, up } = redis
  if (!up) return paint('red', 'DOWN (answers go on without it)')
  return `${paint('green', 'up')}${responseMs === null ? '' : ` ${msText(responseMs)}`}`
}

function troubleLines({ lastReloadOk, troubles }: Status): readonly string[] {
  const lines = troubles.map(({ check, why }) => `${check}: ${printable(why)}`)
  if (!lastReloadOk)
    lines.push('the last reload was refused, the filter before it stays: see the log')
  return lines
}

function nextText(at: string): string {
  const seconds = (Date.parse(at) - Date.now()) / SECOND_MS
  return seconds <= 0 ? 'now' : `${at.slice(11, 16)} UTC (in ${durationText(seconds)})`
}

/** `12d 4h`, `9h 12m`, `3m`, `42s`: the two largest units at most. */
function durationText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole >= DAY_S)
    return `${Math.floor(whole / DAY_S)}d ${Math.floor((whole % DAY_S) / HOUR_S)}h`
  const minutes = Math.floor((whole % HOUR_S) / MINUTE_S)
  if (whole >= HOUR_S) return `${Math.floor(whole / HOUR_S)}h ${minutes}m`
  return whole >= MINUTE_S ? `${minutes}m` : `${whole}s`
}
