import { expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, type Server } from '../support/dns-client.ts'
import type { Message } from '../support/messages.ts'
import { SeededRandom } from '../support/random.ts'
import { startUnbound } from '../support/unbound.ts'
import {
  makeAnyQuestion,
  makeLargeQuestion,
  makeQuestion,
  zoneRecords,
  type Question,
} from './zone.ts'

const SEED = 20_261_124
const QUESTIONS = 5000
/** Questions to which the answers differ by design, and of answers that do not fit. */
const ANY_QUESTIONS = 8
const LARGE_QUESTIONS = 60
const EXPLAINED_MAX = QUESTIONS * 0.005
/** TTLs age between the two answers, in the upstream's cache too. */
const TTL_SECONDS_APART_MAX = 5
const AT_ONCE = 40

/** Why an answer may differ. */
type Explanation = 'small answer to ANY (RFC 8482)' | 'letter case of a CNAME made from a DNAME'

function ask(server: Server, { name, type, options, transport }: Question): Promise<Message> {
  return (transport === 'udp' ? askUdp : askTcp)(server, name, type, {
    ...options,
    timeoutMs: 20_000,
  })
}

/** All that has to agree: rcode, question, answer records in their order, flags, EDNS. */
function factsOf(message: Message): object {
  const { edns, answers, questions } = message
  return {
    flags: message.octets.readUInt16BE(2),
    rcode: message.extendedRcode,
    questions,
    answers: answers.map(({ ttl: _ttl, ...record }) => record),
    edns: edns && { dnssecOk: edns.dnssecOk, version: edns.version, options: edns.options.length },
  }
}

/** What differs between two answers; empty when nothing does. */
function differenceOf(ours: Message, theirs: Message): string {
  const [left, right] = [JSON.stringify(factsOf(ours)), JSON.stringify(factsOf(theirs))]
  if (left !== right) return `\n  ours   ${left}\n  theirs ${right}`
  const apart = ours.answers.map(({ ttl }, index) =>
    Math.abs((ttl ?? 0) - (theirs.answers[index]!.ttl ?? 0)),
  )
  return Math.max(0, ...apart) > TTL_SECONDS_APART_MAX ? `TTLs apart: ${apart.join(', ')}` : ''
}

function explanationOf(
  question: Question,
  ours: Message,
  theirs: Message,
): Explanation | undefined {
  if (question.type === 'ANY' && ours.answers[0]?.type === 'HINFO') {
    return 'small answer to ANY (RFC 8482)'
  }
  // Upstreams are asked in lower case, and make the CNAME of what they were asked (RFC 6672 3.1).
  const isRedirected = ours.answers[0]?.type === 'DNAME' && ours.answers[1]?.type === 'CNAME'
  const [left, right] = [JSON.stringify(factsOf(ours)), JSON.stringify(factsOf(theirs))]
  const isCase = isRedirected && left.toLowerCase() === right.toLowerCase()
  return isCase ? 'letter case of a CNAME made from a DNAME' : undefined
}

test('5,000 questions get the answers that Unbound gives as forwarder to the same upstream', async () => {
  conforms('proxy', 'record-order', 'header-flags', 'unknown-types', 'wildcards', 'priming')
  const random = new SeededRandom(SEED)
  const upstream = await startUnbound({ records: zoneRecords(random) })
  const theirs = await startUnbound({ forwardTo: upstream })
  const ours = await startDataplane({ upstreams: [upstream], rules: { adult: ['not.asked'] } })
  const questions = Array.from({ length: QUESTIONS }, (_, index) => {
    if (index < ANY_QUESTIONS) return makeAnyQuestion(random)
    const isLarge = index < ANY_QUESTIONS + LARGE_QUESTIONS
    return isLarge ? makeLargeQuestion(index) : makeQuestion(random)
  })
  const explained = new Map<Explanation, number>()
  const unexplained: string[] = []
  const rcodes = new Map<string, number>()
  const compare = async (question: Question): Promise<void> => {
    const answers = await Promise.all([ask(ours, question), ask(theirs, question)])
    const rcode = answers[0].rcode
    rcodes.set(rcode, (rcodes.get(rcode) ?? 0) + 1)
    const difference = differenceOf(...answers)
    if (difference === '') return
    const explanation = explanationOf(question, ...answers)
    if (explanation === undefined) unexplained.push(`${JSON.stringify(question)} ${difference}`)
    else explained.set(explanation, (explained.get(explanation) ?? 0) + 1)
  }
  for (let start = 0; start < QUESTIONS; start += AT_ONCE) {
    await Promise.all(questions.slice(start, start + AT_ONCE).map(compare))
  }
  const types = new Set(questions.map(({ type }) => type)).size
  const counts = { questions: QUESTIONS, types, ...Object.fromEntries(rcodes) }
  process.stdout.write(
    `against Unbound: ${JSON.stringify(counts)}, explained ` +
      `${JSON.stringify(Object.fromEntries(explained))}, unexplained ${unexplained.length}\n`,
  )
  expect(unexplained.slice(0, 20)).toEqual([])
  const explainedSum = [...explained.values()].reduce((sum, count) => sum + count, 0)
  expect(explainedSum).toBeLessThanOrEqual(EXPLAINED_MAX)
  expect(rcodes.get('NOERROR')).toBeGreaterThan(QUESTIONS / 2)
  expect(rcodes.get('NXDOMAIN')).toBeGreaterThan(QUESTIONS / 50)
}, 180_000)
