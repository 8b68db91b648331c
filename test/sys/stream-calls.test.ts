import { once } from 'node:events'
import { Socket, connect, createServer, type AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isLibc, openLibc } from '../../src/sys/libc.ts'
import {
  BROKEN,
  NOT_NOW,
  NO_DESCRIPTOR,
  StreamCalls,
  descriptorOf,
} from '../../src/sys/stream-calls.ts'

let calls: StreamCalls
let client: Socket
let socket: Socket
let fd: number
const cleanups: (() => void)[] = []

beforeEach(async () => {
  const libc = await openLibc()
  if (!isLibc(libc)) throw new Error(`no system calls: ${libc.why}`)
  calls = new StreamCalls(libc)
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  ;[socket] = (await once(server, 'connection')) as [Socket]
  socket.on('error', () => {})
  client.on('error', () => {})
  fd = descriptorOf(socket)
  cleanups.push(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
})

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** Tries until the system says something else. */
async function until(call: () => number): Promise<number> {
  for (;;) {
    const result = call()
    if (result !== NOT_NOW) return result
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('what comes is read, then nothing, then the end', async () => {
  expect(calls.receive(fd)).toBe(NOT_NOW)
  client.write('question')
  expect(await until(() => calls.receive(fd))).toBe(8)
  expect(Buffer.from(calls.received.subarray(0, 8)).toString()).toBe('question')
  expect(calls.receive(fd)).toBe(NOT_NOW)
  client.end()
  expect(await until(() => calls.receive(fd))).toBe(0)
})

test('what is written goes out as far as the system takes it', async () => {
  const answer = Buffer.from('answer and more')
  expect(calls.send(fd, answer, 6)).toBe(6)
  expect(String((await once(client, 'data'))[0])).toBe('answer')
  client.pause()
  const many = Buffer.alloc(1 << 20)
  let sent = 0
  let taken = calls.send(fd, many, many.length)
  while (taken > 0) {
    sent += taken
    taken = calls.send(fd, many, many.length)
  }
  expect(taken).toBe(NOT_NOW)
  expect(sent % many.length).not.toBe(0)
  socket.end()
  let received = 0
  for await (const chunk of client) received += (chunk as Buffer).length
  expect(received).toBe(sent)
})

test('a connection that was reset is broken, both ways', async () => {
  client.resetAndDestroy()
  expect(await until(() => calls.receive(fd))).toBe(BROKEN)
  expect(calls.send(fd, Buffer.from('x'), 1)).toBe(BROKEN)
})

test('a socket that is closed, or that Node says nothing of, has no descriptor', () => {
  expect(fd).toBeGreaterThan(0)
  socket.destroy()
  expect(descriptorOf(socket)).toBe(NO_DESCRIPTOR)
  expect(descriptorOf(new Socket())).toBe(NO_DESCRIPTOR)
})
