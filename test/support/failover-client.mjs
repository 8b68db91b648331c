/**
 * A client in a process (and a network) of its own that asks an address steadily while a test breaks
 * what answers there; at SIGTERM it waits for what is open and prints what became of all questions.
 *
 *     failover-client.mjs ADDRESS PER_SECOND BLOCKED OPEN
 *
 * Blocked names must get NXDOMAIN, open ones an address. SERVFAIL is an error, NOERROR for a blocked
 * name is `unfiltered`, anything else is `wrong`.
 */
import { createSocket } from 'node:dgram'
import { decode, encode } from 'dns-packet'

const TICK_MS = 4
/** Answers that take longer are lost. */
const LOST_MS = 2000

const [address, perSecond, blocked, open] = process.argv.slice(2)
const gapMs = 1000 / Number(perSecond)
const socket = createSocket('udp4')
const report = { sent: 0, answered: 0, errors: 0, unfiltered: 0, wrong: 0, silenceMs: 0 }
const waiting = new Map()
let dueMs = performance.now()
let heardMs = dueMs
let id = 0

socket.on('message', (octets) => {
  const message = decode(octets)
  const asked = waiting.get(message.id)
  if (asked === undefined) return
  waiting.delete(message.id)
  report.answered++
  const nowMs = performance.now()
  report.silenceMs = Math.max(report.silenceMs, nowMs - heardMs)
  heardMs = nowMs
  const isAnswer = message.rcode === 'NOERROR' && message.answers.length > 0
  const isRight = asked.isBlocked ? message.rcode === 'NXDOMAIN' : isAnswer
  if (isRight) return
  if (message.rcode === 'SERVFAIL') report.errors++
  else if (asked.isBlocked && message.rcode === 'NOERROR') report.unfiltered++
  else report.wrong++
})
// While nobody has the address there is no way to it: a lost question, as any other.
socket.on('error', () => {})

function ask() {
  id = (id + 1) & 0xffff
  const isBlocked = id % 2 === 0
  // Half of each kind are names that nobody has asked before.
  const label = id % 4 < 2 ? `n${id}.` : ''
  const name = label + (isBlocked ? blocked : open)
  const query = encode({ type: 'query', id, flags: 0x100, questions: [{ type: 'A', name }] })
  waiting.set(id, { isBlocked })
  report.sent++
  socket.send(query, 53, address, () => {})
}

const timer = setInterval(() => {
  const nowMs = performance.now()
  // A process that was held up does not send all that it has missed.
  if (nowMs - dueMs > 50) dueMs = nowMs
  for (; dueMs <= nowMs; dueMs += gapMs) ask()
}, TICK_MS)

process.once('SIGTERM', () => {
  clearInterval(timer)
  const endMs = performance.now() + LOST_MS
  const look = setInterval(() => {
    if (waiting.size > 0 && performance.now() < endMs) return
    clearInterval(look)
    socket.close()
    const lost = report.sent - report.answered
    const silenceMs = Math.round(report.silenceMs)
    process.stdout.write(`${JSON.stringify({ ...report, lost, silenceMs })}\n`)
  }, TICK_MS)
})
socket.bind(0, () => process.stdout.write('asking\n'))
