/** Which counter an error of Redis or of its connection belongs to, by the error's first word. */
import {
  ERROR_AUTH,
  ERROR_CLUSTER,
  ERROR_CONNECTION,
  ERROR_LOADING,
  ERROR_MEMORY,
  ERROR_OTHER,
  ERROR_PERMISSION,
  ERROR_READONLY,
  ERROR_WRONGTYPE,
} from '../redis-counters.ts'

const WORDS: ReadonlyMap<string, number> = new Map([
  ['WRONGPASS', ERROR_AUTH],
  ['NOAUTH', ERROR_AUTH],
  ['NOPERM', ERROR_PERMISSION],
  ['LOADING', ERROR_LOADING],
  ['BUSY', ERROR_LOADING],
  ['OOM', ERROR_MEMORY],
  ['READONLY', ERROR_READONLY],
  ['MASTERDOWN', ERROR_READONLY],
  ['NOREPLICAS', ERROR_READONLY],
  ['WRONGTYPE', ERROR_WRONGTYPE],
  ['CLUSTERDOWN', ERROR_CLUSTER],
  ['MOVED', ERROR_CLUSTER],
  ['ASK', ERROR_CLUSTER],
  ['TRYAGAIN', ERROR_CLUSTER],
  ['CROSSSLOT', ERROR_CLUSTER],
])

/** Returns the kind of an error: of Redis's replies, else of the connection. */
export function errorKind(error: unknown): number {
  if (!(error instanceof Error)) return ERROR_OTHER
  if (error.name !== 'ReplyError') return ERROR_CONNECTION
  const end = error.message.indexOf(' ')
  const word = end === -1 ? error.message : error.message.slice(0, end)
  return WORDS.get(word) ?? ERROR_OTHER
}
