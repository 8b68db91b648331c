import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { Metrics } from '../../src/controlplane/admin/metrics.ts'
import { NO_PROBE } from '../../src/controlplane/probe/probe-facts.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { serverFacts } from '../support/server-facts.ts'

const DEPLOY = resolve(import.meta.dirname, '../../deploy')
const RULES = join(DEPLOY, 'prometheus/niveau3.rules.yml')
const CASES = ['alerts.test.yml', 'alerts-of-days.test.yml', 'runbook.test.yml'].map((file) =>
  join(DEPLOY, 'prometheus/tests', file),
)
const PROMTOOL_MS_MAX = 240_000

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly runbook_url: string }
}

function rules(): readonly Rule[] {
  const file = parse(readFileSync(RULES, 'utf8')) as { groups: readonly { rules: Rule[] }[] }
  return file.groups.flatMap((group) => group.rules)
}

async function promtool(...args: string[]): Promise<{ code: number | null; said: string }> {
  const options = { timeoutMs: PROMTOOL_MS_MAX }
  const { code, stdout, stderr } = await runToEnd(await program('promtool'), args, options)
  return { code, said: stdout + stderr }
}

test('promtool finds no fault in the rules and in the configuration', async () => {
  expect(await promtool('check', 'rules', RULES)).toMatchObject({ code: 0 })
  const config = join(DEPLOY, 'prometheus/server/prometheus.yml')
  expect(await promtool('check', 'config', config)).toMatchObject({ code: 0 })
  // Its rules are mounted where only the container has them.
  const inContainer = join(DEPLOY, 'container/prometheus/prometheus.yml')
  const syntax = ['check', 'config', '--syntax-only', inContainer]
  expect(await promtool(...syntax)).toMatchObject({ code: 0 })
})

test('every alert has a case in which it fires and one in which it does not', async () => {
  const texts = CASES.map((file) => readFileSync(file, 'utf8')).join('\n')
  for (const { alert } of rules()) {
    expect(texts).toContain(`name: '${alert} fires'`)
    expect(texts).toContain(`name: '${alert} is quiet'`)
  }
  for (const file of CASES) {
    const { code, said } = await promtool('test', 'rules', file)
    expect(code, said).toBe(0)
  }
}, 300_000)

/** The operator's own place, else the copy on every box. */
const RUNBOOK =
  '{{ with $externalLabels.runbook }}{{ . }}{{ else }}file:///usr/share/doc/niveau3/RUNBOOK.md{{ end }}'

test('every alert says what it is and leads to a section of the runbook of its name', () => {
  const runbook = readFileSync(join(DEPLOY, 'RUNBOOK.md'), 'utf8')
  const sections = [...runbook.matchAll(/^## (\S+)$/gm)].map(([, name]) => name!)
  expect(sections).toEqual(rules().map(({ alert }) => alert))
  for (const { alert, annotations, labels } of rules()) {
    expect(annotations.runbook_url).toBe(`${RUNBOOK}#${alert.toLowerCase()}`)
    expect(annotations.summary.length).toBeGreaterThan(20)
    expect(['warning', 'critical']).toContain(labels.severity)
    const section = runbook.split(`## ${alert}\n`)[1]!.split('\n## ')[0]!
    for (const part of ['**First look.**', '**Fix.**', '**Escalate when**']) {
      expect(section, alert).toContain(part)
    }
  }
  const anchors = [...runbook.matchAll(/\]\(#([\w-]+)\)/g)].map(([, anchor]) => anchor)
  expect(
    anchors.filter((anchor) => !sections.some((name) => name.toLowerCase() === anchor)),
  ).toEqual([])
})

test('every metric and label value that an alert names is one that the server shows', async () => {
  const facts = serverFacts({
    certificateExpiresAtSeconds: 1_800_000_000,
    probe: {
      ...NO_PROBE,
      success: new Map([
        ['adult', true],
        ['essential', true],
      ]),
    },
  })
  const { body } = await new Metrics(() => facts, 0).render(false)
  for (const { alert, expr } of rules()) {
    for (const [name] of expr.matchAll(/\bniveau3_\w+/g)) {
      expect(body, `${alert}: ${name}`).toMatch(new RegExp(`^${name}[ {]`, 'm'))
    }
    for (const [, label, value] of expr.matchAll(/(\w+)="(\w+)"/g)) {
      if (label !== 'job') expect(body, `${alert}: ${label}`).toContain(`${label}="${value}"`)
    }
  }
})
