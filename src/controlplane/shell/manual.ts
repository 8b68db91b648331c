/** The manual page niveau3(1), in the man macros that groff and mandoc share. */

import { allCommands, type CommandNode, type OptionNode } from './command-tree.ts'

/** The day of the version that the page speaks of. */
const DATE = '2026-11-24'

const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ['0', 'ok'],
  ['1', 'error; an address in use too'],
  ['2', 'usage'],
  ['3', 'server unreachable'],
  ['4', 'invalid or missing configuration, list or image'],
  ['5', 'partly done'],
  ['6', 'refused by a safety gate'],
  ['10', 'would be blocked (check --exit-code)'],
  ['130', 'interrupted'],
]

const FILES: readonly (readonly [string, string])[] = [
  ['./niveau3.yaml, /etc/niveau3/niveau3.yaml', 'the configuration; the first one that is there'],
  [
    '/var/lib/niveau3',
    'the state directory of the packaged service: lists, generations, audit log',
  ],
  ['/usr/lib/systemd/system/niveau3.service', 'the packaged service'],
]

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ['NIVEAU3_CONFIG', 'the configuration file'],
  ['NIVEAU3_...', 'any key of the configuration; two underscores lead into a group'],
  ['NO_COLOR, FORCE_COLOR, TERM', 'whether output is coloured'],
  ['NOTIFY_SOCKET, WATCHDOG_USEC', 'set by systemd for a service of Type=notify'],
]

const SIGNALS: readonly (readonly [string, string])[] = [
  ['SIGHUP', 'reads lists and configuration again, all or nothing'],
  ['SIGTERM, SIGINT', 'answers what is in flight and ends'],
]

/** Returns the page as `niveau3 manpage` prints it. */
export function manualPage(root: CommandNode, version: string): string {
  const [, ...commands] = allCommands(root)
  const leaves = commands.filter((node) => node.commands.length === 0)
  return [
    String.raw`.\" Written by "npm run generate" from the commands themselves. Do not edit.`,
    `.TH NIVEAU3 1 ${DATE} "niveau3 ${version}" "niveau3"`,
    '.SH NAME',
    String.raw`niveau3 \- a DNS resolver that filters`,
    '.SH SYNOPSIS',
    ...leaves.flatMap(synopsis).slice(0, -1),
    '.SH DESCRIPTION',
    escaped(
      'niveau3 answers DNS queries for the routers of shared housing: it blocks the names of its ' +
        'lists and forwards the rest. It needs no configuration to start.',
    ),
    '.PP',
    escaped('With --json every command prints one JSON object on standard output, errors too.'),
    '.SH COMMANDS',
    ...leaves.flatMap(commandSection),
    ...tagged('SIGNALS', SIGNALS),
    ...tagged('EXIT STATUS', EXIT_STATUS),
    ...tagged('FILES', FILES),
    ...tagged('ENVIRONMENT', ENVIRONMENT),
    '.SH EXAMPLES',
    '.nf',
    ...root.examples.map(escaped),
    '.fi',
    '.SH SEE ALSO',
    '.BR systemctl (1),',
    '.BR resolv.conf (5)',
    '',
  ].join('\n')
}

function synopsis(node: CommandNode): string[] {
  return [`.B ${escaped(node.path)}`, escaped(node.usage), '.br']
}

function commandSection(node: CommandNode): string[] {
  return [
    `.SS ${escaped(`${node.path} ${node.usage}`)}`,
    escaped(sentence(node.summary)),
    ...node.options.flatMap(optionEntry),
    ...node.examples.flatMap((line, index) => [
      ...(index === 0 ? ['.PP', 'Examples:'] : []),
      '.PP',
      '.nf',
      escaped(line),
      '.fi',
    ]),
  ]
}

function optionEntry({ usage, summary, choices }: OptionNode): string[] {
  const among = choices.length === 0 ? '' : ` (${choices.join(', ')})`
  return ['.TP', `.B ${escaped(usage)}`, escaped(sentence(summary + among))]
}

function tagged(title: string, rows: readonly (readonly [string, string])[]): string[] {
  return [
    `.SH ${title}`,
    ...rows.flatMap(([tag, text]) => ['.TP', `.B ${escaped(tag)}`, escaped(sentence(text))]),
  ]
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(first) ? first : `${first}.`
}

/** Hyphens stay hyphens that can be copied; a line never begins with a request. */
function escaped(text: string): string {
  const octets = text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll('…', '...')
  return octets.replace(/^([.'])/, String.raw`\&$1`)
}
