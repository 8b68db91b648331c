/**
 * Loaded into every thread of a server under test before the server itself (NODE_OPTIONS): on
 * SIGUSR2 each thread collects its garbage, and the main one writes what is left into a file.
 */
const { renameSync, writeFileSync } = require('node:fs')
const v8 = require('node:v8')
const { runInNewContext } = require('node:vm')
const { BroadcastChannel, isMainThread, threadId } = require('node:worker_threads')

const FILE = process.env['LIVE_MEMORY_FILE']
/** What a collection sets free in other ways (buffers, handles) is gone by the next one. */
const COLLECTIONS = 3

v8.setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

/** Octets that are in use in this thread: objects, and buffers outside of its heap. */
async function liveOctets() {
  for (let times = 0; times < COLLECTIONS; times++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const channel = new BroadcastChannel('live-memory')
channel.unref()
if (isMainThread) {
  const threads = new Set()
  let awaited = new Set()
  let octets = 0
  let times = 0
  process.on('worker', (worker) => {
    const id = worker.threadId
    threads.add(id)
    worker.once('exit', () => threads.delete(id))
  })
  channel.addEventListener('message', ({ data }) => {
    if (data.octets === undefined || !awaited.delete(data.from)) return
    octets += data.octets
    if (awaited.size === 0) tell()
  })
  const tell = () => {
    writeFileSync(`${FILE}.new`, JSON.stringify({ times, octets }))
    renameSync(`${FILE}.new`, FILE)
  }
  const collect = async () => {
    times++
    awaited = new Set(threads)
    octets = await liveOctets()
    if (awaited.size === 0) tell()
    else channel.postMessage({ collect: true })
  }
  process.on('SIGUSR2', () => void collect())
} else {
  const answer = async () => {
    channel.postMessage({ from: threadId, octets: await liveOctets() })
  }
  channel.addEventListener('message', ({ data }) => {
    if (data.collect) void answer()
  })
}
