/**
 * Gates that an operator overrules: by list, by list and gate, or by gate for all lists together.
 * What was not named holds: whoever takes one list against its gates keeps those of the whole.
 */

import { OperationalError } from '../../base/errors.ts'
import type { Gate, GateFault } from '../blocklist/safety/list-contract.ts'

/** Stands for all lists together; no list may be called so. */
export const WHOLE = 'all'

const LIST_GATES: readonly Gate[] = [
  'names-min',
  'names-max',
  'removed-share',
  'added-share',
  'unparsable-share',
  'essential-hits',
  'essential-parent',
  'popular',
  'must-block',
]
/** A lost list, a failed self-test and an image no server can start with: no matters of opinion. */
const WHOLE_GATES: readonly Gate[] = ['removed-share', 'added-share', 'popular', 'must-block']

/** One `--force`. */
interface OverruledGate {
  /** `WHOLE` or the name of a list. */
  readonly list: string
  /** Undefined: all gates of the list. */
  readonly gate: Gate | undefined
}

/** What was overruled, as it was written. */
export class OverruledGates {
  readonly texts: readonly string[]
  readonly #gates: readonly OverruledGate[]

  /** @throws OperationalError ERR_USAGE for what names no gate. */
  constructor(texts: readonly string[]) {
    this.texts = texts
    this.#gates = texts.map(parse)
  }

  /** The lists whose gates are named. */
  get lists(): readonly string[] {
    return this.#gates.flatMap(({ list }) => (list === WHOLE ? [] : [list]))
  }

  /** Those faults that nobody has overruled. */
  standing(list: string, faults: readonly GateFault[]): readonly GateFault[] {
    return faults.filter(({ gate }) => !this.#covers(list, gate))
  }

  #covers(list: string, gate: Gate): boolean {
    return this.#gates.some(
      (named) => named.list === list && (named.gate === undefined || named.gate === gate),
    )
  }
}

function parse(text: string): OverruledGate {
  const [list = '', gateText, ...more] = text.split(':')
  const known = list === WHOLE ? WHOLE_GATES : LIST_GATES
  const gate = known.find((word) => word === gateText)
  const isWhole = gateText === undefined && list !== WHOLE
  if (list !== '' && more.length === 0 && (gate !== undefined || isWhole)) return { list, gate }
  const message =
    `--force "${text}" names no gate: give LIST, LIST:GATE (${LIST_GATES.join(', ')}) or, for all ` +
    `lists together, ${WHOLE}:GATE (${WHOLE_GATES.join(', ')})`
  throw new OperationalError('ERR_USAGE', message)
}

/** What `--force` would have to say for these faults; empty where nothing can be forced. */
export function overruleTexts(list: string, faults: readonly GateFault[]): readonly string[] {
  const known = list === WHOLE ? WHOLE_GATES : LIST_GATES
  const gates = new Set(faults.map(({ gate }) => gate).filter((gate) => known.includes(gate)))
  return [...gates].map((gate) => `${list}:${gate}`)
}
