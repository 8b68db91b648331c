/** The floor: a C loop that sends every query back. No server that does any work can be below. */
import { native } from '../native.ts'
import type { Server } from './server.ts'

/** The C echo. */
export const echo: Server = {
  key: 'echo',
  title: 'C echo (floor)',
  method: 'none',
  role: 'floor',
  leavesOut: {
    forwarded: 'it forwards nothing',
    'blocked-unique': 'it blocks nothing, and its work is that of the mix',
  },
  version: () => Promise.resolve('recvmmsg/sendmmsg'),
  prepare: async ({ port }) => ({
    program: await native('responder'),
    args: ['echo', String(port)],
  }),
}
