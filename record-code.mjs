/**
 * Lets the engine write down the code that it makes of the built program when it starts, so that
 * later starts of the same Node.js need not make it again: a server is started over a list of one
 * name, asked for it, and stopped. What ran is recorded by `record-code.cjs` in each of its threads.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const RECORDER = join(import.meta.dirname, 'record-code.cjs')
/** As in the program's first line: code made under other flags would not be taken. */
const FLAG = '--max-semi-space-size=2'
const CONFIG = 'niveau3.yaml'
const NAME = 'listed.example'
/** Of the log: the server answers, at that port. */
const READY = /"event":"ready".*?"listen":\["127\.0\.0\.1:(\d+)"/
const ASK_MS = 100
const SECONDS_MAX = 60

/**
 * Records the code of the program in that folder, as that Node.js makes it.
 *
 * @param node the executable.
 * @param dist the folder with bin.js.
 */
export async function recordCode(node, dist) {
  const folder = mkdtempSync(join(tmpdir(), 'niveau3-code-'))
  const args = [FLAG, '--require', RECORDER, resolve(dist, 'bin.js')]
  const image = join(folder, 'listed.image')
  try {
    writeFileSync(join(folder, CONFIG), '')
    writeFileSync(join(folder, 'listed.txt'), `${NAME}\n`)
    const compile = ['lists', 'compile', '--out', image, '--blocklist', 'code=listed.txt']
    const env = ownEnvironment(folder)
    execFileSync(node, [...args, ...compile], { cwd: folder, env, stdio: 'ignore' })
    await serveOnce(node, args, image, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Without what a server beside the build may be configured by. */
function ownEnvironment(folder) {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(NIVEAU3_|NODE_OPTIONS$)/.test(name),
  )
  return { ...Object.fromEntries(own), NIVEAU3_CONFIG: join(folder, CONFIG) }
}

async function serveOnce(node, args, image, folder) {
  const serve = ['serve', '--image', image, '--workers', '1', '--metrics', '127.0.0.1:0']
  serve.push('--listen', '127.0.0.1:0', '--upstream', 'udp://127.0.0.1:1')
  serve.push('--state-dir', join(folder, 'state'))
  const server = spawn(node, [...args, ...serve], {
    cwd: folder,
    env: ownEnvironment(folder),
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: SECONDS_MAX * 1000,
  })
  let said = ''
  const ready = new Promise((resolve) => {
    server.stderr.on('data', (octets) => {
      said += octets
      const listening = READY.exec(said)
      if (listening !== null) resolve(Number(listening[1]))
    })
  })
  const ended = once(server, 'exit')
  await Promise.race([ready.then(askUntilAnswered), ended])
  server.kill('SIGTERM')
  const [code] = await ended
  if (code !== 0) throw new Error(`no code recorded: serve ended with ${code}\n${said}`)
}

/** A question for the listed name: whatever is answered, the way of a query has been gone once. */
async function askUntilAnswered(port) {
  const labels = NAME.split('.').map((label) => String.fromCharCode(label.length) + label)
  const question = Buffer.from(
    `\0\x07\x01\0\0\x01\0\0\0\0\0\0${labels.join('')}\0\0\x01\0\x01`,
    'latin1',
  )
  const socket = createSocket('udp4')
  const ask = () => socket.send(question, port, '127.0.0.1')
  const timer = setInterval(ask, ASK_MS)
  socket.on('error', () => {})
  ask()
  await once(socket, 'message')
  clearInterval(timer)
  socket.close()
}
