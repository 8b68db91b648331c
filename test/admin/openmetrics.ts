/**
 * A strict reader of the OpenMetrics 1.0 text format, and of the Prometheus format where the two
 * differ: what Prometheus would reject throws here.
 */

/** One sample of one family. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A metric family with its metadata. */
export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: readonly Sample[]
}

/** Endings that samples of a type may have behind the family's name. */
const ENDINGS: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count', '_created'],
  summary: ['', '_sum', '_count', '_created'],
  unknown: [''],
  info: ['_info'],
}
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y

/** Reads an OpenMetrics page; throws at the first line that is not allowed. */
export function readOpenMetrics(text: string): Family[] {
  const lines = text.split('\n')
  if (lines.pop() !== '' || lines.pop() !== '# EOF') throw new Error('the page ends without # EOF')
  const families: { name: string; type: string; help: string; samples: Sample[] }[] = []
  const seen = new Set<string>()
  for (const line of lines) {
    const meta = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line)
    if (meta !== null) {
      const [, kind, name = '', rest = ''] = meta
      let family = families.at(-1)
      if (family?.name !== name) {
        if (families.some((earlier) => earlier.name === name)) throw new Error(`${name} twice`)
        family = { name, type: 'unknown', help: '', samples: [] }
        families.push(family)
      }
      if (family.samples.length > 0) throw new Error(`metadata behind samples: ${line}`)
      if (kind === 'HELP') family.help = rest
      if (kind === 'TYPE') family.type = rest
      continue
    }
    const family = families.at(-1)
    if (family === undefined) throw new Error(`a sample without a family: ${line}`)
    const sample = readSample(line)
    const endings = ENDINGS[family.type]
    if (endings === undefined) throw new Error(`${family.name} has the type ${family.type}`)
    if (!endings.some((ending) => sample.name === family.name + ending)) {
      throw new Error(`${sample.name} is no sample of the ${family.type} ${family.name}`)
    }
    const key = line.slice(0, line.lastIndexOf(' '))
    if (seen.has(key)) throw new Error(`a sample twice: ${key}`)
    seen.add(key)
    family.samples.push(sample)
  }
  return families
}

function readSample(line: string): Sample {
  const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line)
  const name = match?.[1] ?? ''
  if (match === null || !NAME.test(name)) throw new Error(`not a sample: ${line}`)
  const value = readValue(match[3] ?? '')
  return { name, labels: readLabels(match[2] ?? ''), value }
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = Object.create(null)
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text)
    if (match === null) throw new Error(`not a list of labels: ${text}`)
    const [, name = '', value = ''] = match
    if (name in labels) throw new Error(`the label ${name} twice: ${text}`)
    labels[name] = value
  }
  return labels
}

function readValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  // prom-client writes "Nan"; the format's words are free in their case.
  if (/^nan$/i.test(text)) return Number.NaN
  if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text)) throw new Error(`not a number: ${text}`)
  return Number(text)
}
