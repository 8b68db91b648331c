import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort } from './ports.ts'
import { runToEnd, startProcess } from './processes.ts'

const NODE = process.execPath

test('a process is ready once it printed the awaited line, and ends by SIGTERM', async () => {
  const script = 'console.error("warming"); console.log("ready 7"); setInterval(() => {}, 1000)'
  const child = await startProcess(NODE, ['-e', script], { ready: { line: /^ready \d/ } })
  expect(child.isRunning()).toBe(true)
  expect(child.stdout()).toBe('ready 7\n')
  expect(await child.line(/warming/)).toBe('warming')
  expect(await child.end()).toEqual({ code: null, signal: 'SIGTERM' })
  expect(child.isRunning()).toBe(false)
})

test('a process is ready once its port accepts', async () => {
  const port = await freePort()
  const script = `require('node:net').createServer().listen(${port}, '127.0.0.1')`
  const child = await startProcess(NODE, ['-e', script], { ready: { tcpPort: port } })
  expect(child.isRunning()).toBe(true)
})

test('a process that ends before it is ready rejects with its output', async () => {
  const script = 'console.error("no list"); process.exit(4)'
  const started = startProcess(NODE, ['-e', script], { ready: { line: /^ready/ } })
  await expect(started).rejects.toThrow(/ended with code 4[^]*no list/)
})

test('a process that prints nothing in time rejects and is ended', async () => {
  const script = 'console.log(process.pid); setInterval(() => {}, 1000)'
  const started = startProcess(NODE, ['-e', script], { ready: { line: /^never/ }, readyMsMax: 500 })
  const message = await started.then(
    () => '',
    (error: unknown) => String(error),
  )
  const pid = Number(/^(\d+)$/m.exec(message)?.[1])
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
})

test('a program that does not exist rejects with its name', async () => {
  await expect(startProcess('/nonexistent/program', [])).rejects.toThrow('/nonexistent/program')
})

test('a program run to its end gives its code, streams and what it was told', async () => {
  const script = 'process.stdin.pipe(process.stdout); process.exitCode = 6'
  const done = await runToEnd(NODE, ['-e', script], { input: 'essential\n' })
  expect(done).toEqual({ code: 6, signal: null, stdout: 'essential\n', stderr: '' })
})

test('a program that does not end in time rejects', async () => {
  const run = runToEnd(NODE, ['-e', 'setInterval(() => {}, 1000)'], { timeoutMs: 300 })
  await expect(run).rejects.toThrow('did not end')
})

test('a free port is free over UDP and TCP, and is handed out once', async () => {
  const ports = await Promise.all([freePort(), freePort(), freePort()])
  expect(new Set(ports).size).toBe(3)
  const server = createServer()
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => server.listen(ports[0], '127.0.0.1', resolve))
  await new Promise<void>((resolve) => socket.bind(ports[0], '127.0.0.1', resolve))
  server.close()
  socket.close()
})
