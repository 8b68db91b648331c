/** `niveau3 query`: asks a running server, and shows all of its answer. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { nameToText } from '../blocklist/name-text.ts'
import { DNS_PORT, formatEndpoint, isFault, parseEndpoint } from '../config/addresses.ts'
import { loadConfig } from '../config/load.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { encodeQuery, exchange, type DnsReply } from './dns-exchange.ts'
import { absolute, readMessage, type MessageText, type RecordText } from './dns-text.ts'
import { requireHost, requireType, typeName } from './names-and-types.ts'
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

/** Adds the command. */
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
  const wire = requireHost(name, (line) => cli.terminal.err(`${line}\n`))
  const asked = { server: serverOf(options, cli), name: nameToText(wire), type: requireType(type) }
  const question = encodeQuery(wire, asked.type)
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
  const question = `${absolute(asked.name)} ${typeName(asked.type)}`
  const errors = (message.edns?.errors ?? []).map(
    ({ code, name, text }) => `;; EDE ${code} (${name})${text === '' ? '' : `: ${text}`}\n`,
  )
  const edns = message.edns ? `EDNS ${message.edns.udpOctets}` : 'no EDNS'
  const milliseconds = reply.milliseconds.toFixed(1)
  return [
    `;; ${paint(style, message.rcode)}, id ${message.id}, `,
    `flags ${message.flags.join(' ')}, ${edns}\n`,
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
