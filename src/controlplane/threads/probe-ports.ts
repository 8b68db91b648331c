/** Whether ports are free, where several workers would share them without a word. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { Endpoint, ListenSettings } from '../../dataplane/settings.ts'
import { createListenError } from '../../dataplane/transport/listen-error.ts'

/** As `ListenSockets` does with the system calls: finds a second server on the same port. */
export async function probePorts(endpoints: readonly ListenSettings[]): Promise<void> {
  for (const endpoint of endpoints) {
    if (endpoint.protocol !== 'dns') {
      await probeTcp(endpoint)
      continue
    }
    const socket = createSocket(endpoint.address.includes(':') ? 'udp6' : 'udp4')
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => reject(createListenError(endpoint, 'UDP', error)))
      socket.bind({ ...endpoint, exclusive: true }, resolve)
    }).finally(() => socket.close())
  }
}

async function probeTcp({ address, port }: Endpoint): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    const endpoint = { address, port }
    server.once('error', (error) => reject(createListenError(endpoint, 'TCP', error)))
    server.listen({ host: address, port, exclusive: true }, resolve)
  })
  await new Promise((resolve) => server.close(resolve))
}
