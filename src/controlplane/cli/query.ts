/** `niveau3 query`: asks a running server, and shows all of its answer. */

import { domainToASCII } from 'node:url'
import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { DNS_PORT, formatEndpoint, isFault, parseEndpoint } from '../config/addresses.ts'
import { loadConfig } from '../config/load.ts'
import { nearest } from '../config/suggest.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { encodeQuery, exchange, type DnsReply } from './dns-exchange.ts'
import { readMessage, type MessageText, type RecordText } from './dns-text.ts'
import { TYPE_NAMES, typeName, typeNumber } from './record-types.ts'
import { table, type Terminal } from './terminal.ts'

interface Options {
  readonly server?: string
  readonly config?: string
  readonly tcp?: boolean
  readonly json?: boolean
}

interface Asked {
  readonly server: Endpoint
  readonly name: string
  readonly type: number
}

export function addQuery(program: Command, cli: Cli): void {
  const command = program
    .command('query')
    .description('ask a running server, over UDP and on truncation over TCP')
    .argument('<name>', 'the name to ask for')
    .argument('[type]', 'the record type, by name or as TYPE65', 'A')
    .option('-s, --server <addr:port>', 'the server; default: the first listen address configured')
    .option('-c, --config <file>', 'configuration file that tells the default server')
    .option('--tcp', 'ask over TCP at once')
    .action((name: string, type: string, options: Options) => query(name, type, options, cli))
  finish(command, [
    'niveau3 query example.com',
    'niveau3 query www.example.com AAAA --tcp',
    'niveau3 query example.com HTTPS --server 10.0.0.53:53 --json',
  ])
}

async function query(name: string, type: string, options: Options, cli: Cli): Promise<void> {
  const asked = { server: serverOf(options, cli), name: nameOf(name), type: typeOf(type) }
  const question = encodeQuestion(asked)
  let reply = await exchange(asked.server, question, options.tcp ? 'tcp' : 'udp')
  let message = readMessage(reply.octets)
  if (message.flags.includes('tc') && reply.protocol === 'udp') {
    reply = await exchange(asked.server, question, 'tcp')
    message = readMessage(reply.octets)
  }
  if (options.json) printReply(asked, reply, message, cli.terminal)
  else cli.terminal.out(replyText(asked, reply, message, cli.terminal))
}

function serverOf({ server, config }: Options, { environment }: Cli): Endpoint {
  if (server !== undefined) {
    const parsed = parseEndpoint(server, DNS_PORT)
    if (!isFault(parsed)) return parsed
    const remedy = parsed.suggestion === undefined ? '' : ` (${parsed.suggestion})`
    throw new OperationalError('ERR_USAGE', `--server: ${parsed.fault}${remedy}`)
  }
  const [first] = loadConfig({ configFile: config, environment }).dataplane.listen
  const { address, port } = first ?? { address: '127.0.0.1', port: DNS_PORT }
  if (address === '0.0.0.0') return { address: '127.0.0.1', port }
  return { address: address === '::' ? '::1' : address, port }
}

function nameOf(text: string): string {
  const isAscii = /^[\u0021-\u007E]+$/.test(text)
  const name = isAscii ? text : domainToASCII(text)
  if (name === '.' || /^([^.]{1,63}\.)*[^.]{1,63}\.?$/.test(name)) return name
  throw new OperationalError('ERR_USAGE', `"${text}" is no name: labels have 1 to 63 octets`)
}

function typeOf(text: string): number {
  const type = typeNumber(text)
  if (type !== undefined) return type
  const near = nearest(text, TYPE_NAMES)
  const remedy = near === undefined ? 'write TYPE and its number' : `did you mean ${near}?`
  throw new OperationalError('ERR_USAGE', `"${text}" is no record type that is known (${remedy})`)
}

function encodeQuestion({ name, type }: Asked): Buffer {
  try {
    return encodeQuery(name, type)
  } catch (cause) {
    const message = `"${name}" is no name: names have up to 255 octets`
    throw new OperationalError('ERR_USAGE', message, { cause })
  }
}

function printReply(asked: Asked, reply: DnsReply, message: MessageText, terminal: Terminal): void {
  printJson(terminal, 'query', {
    server: formatEndpoint(asked.server),
    protocol: reply.protocol,
    milliseconds: Number(reply.milliseconds.toFixed(3)),
    octets: reply.octets.length,
    question: { name: asked.name, type: typeName(asked.type) },
    ...message,
    edns: message.edns ?? null,
  })
}

function replyText(
  asked: Asked,
  reply: DnsReply,
  message: MessageText,
  terminal: Terminal,
): string {
  const { paint } = terminal
  const style = message.rcode === 'NOERROR' ? 'green' : 'yellow'
  const question = `${asked.name.replace(/\.$/, '')}. ${typeName(asked.type)}`
  const errors = (message.edns?.errors ?? []).map(
    ({ code, name, text }) => `;; EDE ${code} (${name})${text === '' ? '' : `: ${text}`}\n`,
  )
  const edns = message.edns ? `EDNS ${message.edns.udpOctets}` : 'no EDNS'
  const milliseconds = reply.milliseconds.toFixed(1)
  return [
    `;; ${paint(style, message.rcode)}, id ${message.id}, flags ${message.flags.join(' ')}, ${edns}\n`,
    ...errors,
    `;; QUESTION ${question}\n`,
    section('ANSWER', message.answers),
    section('AUTHORITY', message.authorities),
    section('ADDITIONAL', message.additionals),
    `;; ${reply.octets.length} octets from ${formatEndpoint(asked.server)} over `,
    `${reply.protocol.toUpperCase()} in ${milliseconds} ms\n`,
  ].join('')
}

function section(title: string, records: readonly RecordText[]): string {
  if (records.length === 0) return ''
  const rows = records.map(({ name, ttl, type, data }) => [name, String(ttl), 'IN', type, data])
  return `;; ${title}\n${table(rows)}`
}
