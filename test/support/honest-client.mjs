/**
 * An honest client in a process of its own, so that what its attackers do costs it no time: asks
 * two names in turn at a steady pace, and tells how long the answers took.
 */
import { createSocket } from 'node:dgram'

const PACE_MS = 2
/** An answer that takes longer is lost. */
const LOST_MS = 2000

const port = Number(process.argv[2])
const queries = process.argv.slice(3).map((query) => Buffer.from(query, 'hex'))
const socket = createSocket('udp4')
/** Since when each id waits; 0: it does not. */
let sentMs = new Float64Array(0x10000)
let times = []
let sent = 0
let id = 0

socket.on('message', (message) => {
  const answered = message.readUInt16BE(0)
  const since = sentMs[answered]
  if (since === 0) return
  sentMs[answered] = 0
  times.push(performance.now() - since)
})

function ask() {
  id = (id + 1) & 0xffff
  const query = Buffer.from(queries[id % queries.length])
  query.writeUInt16BE(id)
  sentMs[id] = performance.now()
  sent++
  socket.send(query, port, '127.0.0.1')
}

/** Waits until every query has its answer or is lost. */
async function settled() {
  const endMs = performance.now() + LOST_MS
  while (times.length < sent && performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

let timer
process.on('disconnect', () => process.exit(0))
process.on('message', (command) => {
  if (command === 'start') {
    sentMs = new Float64Array(0x10000)
    times = []
    sent = 0
    timer = setInterval(ask, PACE_MS)
    return
  }
  void stop()
})

async function stop() {
  clearInterval(timer)
  await settled()
  times.sort((left, right) => left - right)
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  process.send({
    sent,
    lost: sent - times.length,
    p50: at(0.5),
    p99: at(0.99),
    worst: times.at(-1) ?? 0,
  })
}
