import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { OperationalError } from '../../src/base/errors.ts'
import type { ListFormat } from '../../src/controlplane/blocklist/detect-format.ts'
import { normalizeToken } from '../../src/controlplane/blocklist/normalize.ts'
import type { ListReport } from '../../src/controlplane/blocklist/read-list.ts'
import { readText } from './reading.ts'

const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/)
/** Names that are no public suffix, no address and no local name. */
const names = fc
  .array(label, { minLength: 1, maxLength: 4 })
  .map((labels) => `${labels.join('.')}.Example.org`)

const lists = fc.array(names, { minLength: 1, maxLength: 40 })

/** How each format writes a rule for a name and all below it. */
const WRITERS: Record<Exclude<ListFormat, 'v2fly'>, (name: string) => string> = {
  plain: (name) => name,
  hosts: (name) => `0.0.0.0 ${name}`,
  adblock: (name) => `||${name}^`,
  dnsmasq: (name) => `local=/${name}/`,
  unbound: (name) => `local-zone: "${name}." always_nxdomain`,
  rpz: (name) => `${name} CNAME .\n*.${name} CNAME .`,
  tsv: (name) => `provider\t${name}`,
}

/** Rules with the halves of RPZ pairs put together. */
function subtrees(rules: readonly string[]): Set<string> {
  const whole = new Set(rules.filter((rule) => /^block \S+$/.test(rule)))
  for (const rule of rules) {
    const name = /^block only (\S+)$/.exec(rule)?.[1]
    if (name !== undefined && rules.includes(`block below ${name}`)) whole.add(`block ${name}`)
  }
  return whole
}

/** Entries of all kinds; a line may hold several. */
function entries(report: ListReport): number {
  let count = report.rules + report.exceptions + report.refusedCount + report.exemptedCount
  for (const skipped of Object.values(report.notRules)) count += skipped
  return count
}

/** The name of a token as octets, or why it is none. */
function nameOf(token: string): string {
  const slot = { wire: new Uint8Array(256), octets: 0 }
  const reason = normalizeToken(token, slot)
  return reason ?? Buffer.from(slot.wire.subarray(0, slot.octets)).toString('latin1')
}

describe('a list', () => {
  test.each(Object.entries(WRITERS))('written as %s has the same rules', async (format, write) => {
    await fc.assert(
      fc.asyncProperty(lists, async (list) => {
        const { rules, report } = await readText(list.map((name) => write(name)).join('\n'))
        expect(report.format).toBe(format)
        expect(subtrees(rules)).toEqual(new Set(list.map((name) => `block ${name.toLowerCase()}`)))
      }),
      { numRuns: 25 },
    )
  })

  test('a host is the same name alone and where there is something to take off', () => {
    const part = fc.stringMatching(/^[a-z0-9-]{0,64}$/)
    const hosts = fc.array(part, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'))
    fc.assert(
      fc.property(hosts, (host) => {
        fc.pre(!host.startsWith('.') && host !== '')
        expect(nameOf(host)).toBe(nameOf(`http://${host}/`))
      }),
    )
  })

  test('reads the same by the short way and by the long one', async () => {
    // A blank at the end of a line sends it the long way.
    const token = fc.oneof(names, fc.stringMatching(/^[a-z0-9._*-]{1,20}$/))
    await fc.assert(
      fc.asyncProperty(fc.array(token, { maxLength: 30 }), async (tokens) => {
        const text = ['anchor.example', ...tokens]
        const short = await readText(text.join('\n'))
        const long = await readText(text.map((line) => `${line} `).join('\n'))
        expect(long.rules).toEqual(short.rules)
        expect(long.report.notRules).toEqual(short.report.notRules)
        expect(long.report.refused).toEqual(short.report.refused)
      }),
      { numRuns: 200 },
    )
  })

  const garbage = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ maxLength: 60 }),
    fc.stringMatching(/^[ .\\|@#$^/*:;,()"'=\t<>a-z0-9-]{0,40}$/),
    fc.constantFrom(
      '||a.example^',
      '0.0.0.0 a.example',
      'a.example CNAME .',
      '$ORIGIN x.',
      '@ SOA (',
    ),
    fc.constantFrom(
      'local-zone: "x',
      'address=/x',
      'full:',
      '@@',
      '||',
      '|',
      '*.',
      '...',
      ' CNAME .',
    ),
  )

  test('of garbage is read or refused, and every line is accounted for', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('', 'a.example', '@ SOA a. b. 1 2 3 4 5', 'local-zone: "a.example" deny'),
        fc.array(garbage, { maxLength: 30 }),
        async (first, lines) => {
          const content = [first, ...lines].join('\n')
          const reading = readText(content).catch((error: unknown) => {
            expect(error).toBeInstanceOf(OperationalError)
            return undefined
          })
          const report = (await reading)?.report
          if (report === undefined) return
          const others = report.lines - report.blankLines - report.commentLines
          expect(entries(report)).toBeGreaterThanOrEqual(others)
          if (others === 0) expect(entries(report)).toBe(0)
        },
      ),
      { numRuns: 400 },
    )
  })

  /** Lines that make a file of each format; the endless line stands behind them. */
  const FIRST = {
    plain: 'a.b.example',
    hosts: '0.0.0.0 a.example',
    adblock: '||a.example^',
    dnsmasq: 'local=/a.example/',
    unbound: 'local-zone: "a.example" deny',
    rpz: 'a.example CNAME .',
    v2fly: 'full:a.example',
  }
  const SIGNS = '.|-|1|a|"|\\|(|:|*|/|\t|,|é|1.| @|:@a|"\\|#!|a.|$$|a b |*.|1.1:| 1| IN|é.'.split(
    '|',
  )
  const HEADS = ['', '0.0.0.0 ', '||', '@@', 'full:', 'x @', 'x 1', 'local=/x/', 'local-data: "x ']

  test.each(Object.entries(FIRST))(
    'of %s with one endless line of any sign is read in a moment',
    async (_format, first) => {
      for (const sign of SIGNS) {
        const endless = sign.repeat(Math.floor(60_000 / sign.length))
        const lines = HEADS.map((head) => `${head}${endless}!`)
        const started = performance.now()
        await readText([...Array.from({ length: 20 }, () => first), ...lines].join('\n'))
        expect(performance.now() - started, `${sign}...`).toBeLessThan(3_000)
      }
    },
    60_000,
  )
})
