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
const NAME = 'listed.example'
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
    writeFileSync(join(folder, 'listed.txt'), `${NAME}\n`)
    const compile = ['lists', 'compile', '--out', image, '--blocklist', 'code=listed.txt']
    execFileSync(node, [...args, ...compile], { cwd: folder, stdio: 'ignore' })
    await serveOnce(node, args, image, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function serveOnce(node, args, image, folder) {
  const port = await freePort()
  const serve = ['serve', '--image', image, '--workers', '1', '--metrics', '127.0.0.1:0']
  serve.push('--listen', `127.0.0.1:${port}`, '--upstream', 'udp://127.0.0.1:1')
  serve.push('--state-dir', join(folder, 'state'))
  const server = spawn(node, [...args, ...serve], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: SECONDS_MAX * 1000,
  })
  let said = ''
  const ready = new Promise((resolve) => {
    server.stderr.on('data', (octets) => {
      said += octets
      if (said.includes('"event":"ready"')) resolve()
    })
  })
  const ended = once(server, 'exit')
  await Promise.race([ready.then(() => askUntilAnswered(port)), ended])
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

async function freePort() {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}
