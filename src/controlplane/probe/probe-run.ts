/** One run of the probe: what must be blocked is asked for, and what must not. */
import { SECOND_MS } from '../../base/units.ts'
import { askOne, VERDICTS, type Asking, type Verdict } from './ask-one.ts'

/** Stands where a category would, for the essential names; no category may be named so. */
export const ESSENTIAL = 'essential'
/** Questions under way at once: a probe is no burst. */
const QUESTIONS_MAX = 8

/** Names to ask, in wire form. */
export interface ProbePlan {
  /** By category. */
  readonly blocked: ReadonlyMap<string, readonly Uint8Array[]>
  readonly essential: readonly Uint8Array[]
}

/** What one group of names has shown. */
export interface GroupResult {
  /** A category, or `ESSENTIAL`. */
  readonly category: string
  /** All were answered as they must be; errors of the upstreams open and block nothing. */
  readonly ok: boolean
  readonly answers: Readonly<Record<Verdict, number>>
  /** Those that were not, or were not answered. */
  readonly names: readonly { readonly name: Uint8Array; readonly verdict: Verdict }[]
}

export interface ProbeResult {
  readonly groups: readonly GroupResult[]
  readonly seconds: number
}

/** Asks all names of a plan. */
export async function runProbe(plan: ProbePlan, asking: Asking): Promise<ProbeResult> {
  const startMs = performance.now()
  const questions = [...plan.blocked].flatMap(([category, names]) =>
    names.map((name) => ({ category, name })),
  )
  questions.push(...plan.essential.map((name) => ({ category: ESSENTIAL, name })))
  const asked: { category: string; name: Uint8Array; verdict: Verdict }[] = []
  let next = 0
  const askInTurn = async (): Promise<void> => {
    for (let index = next++; index < questions.length; index = next++) {
      const question = questions[index]!
      asked.push({ ...question, verdict: await askOne(question.name, asking) })
    }
  }
  await Promise.all(Array.from({ length: QUESTIONS_MAX }, askInTurn))
  const groups = [...new Set(questions.map(({ category }) => category))].map((category) => {
    const own = asked.filter((each) => each.category === category)
    const names = own.filter(({ verdict }) => !isExpected(category, verdict))
    const answers = Object.fromEntries(
      VERDICTS.map((verdict) => [verdict, own.filter((each) => each.verdict === verdict).length]),
    )
    return { category, ok: names.every(isHarmless), answers: { ...NO_ANSWERS, ...answers }, names }
  })
  return { groups, seconds: (performance.now() - startMs) / SECOND_MS }
}

/** No answer of any kind. */
export const NO_ANSWERS: Readonly<Record<Verdict, number>> = {
  blocked: 0,
  open: 0,
  failed: 0,
  silent: 0,
}

function isExpected(category: string, verdict: Verdict): boolean {
  return verdict === (category === ESSENTIAL ? 'open' : 'blocked')
}

/** An essential name without an answer is not blocked: the upstreams have metrics of their own. */
function isHarmless({ category, verdict }: { category: string; verdict: Verdict }): boolean {
  return category === ESSENTIAL && verdict === 'failed'
}
