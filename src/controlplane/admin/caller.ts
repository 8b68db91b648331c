/** Who is at the other end of the admin socket: ids by the kernel, names by /etc/passwd. */

import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { isLibc, openLibc, type Libc, type NoLibc } from '../../sys/libc.ts'
import { peerCredentials } from '../../sys/peer-credentials.ts'
import { isGroup } from '../config/plain.ts'
import type { Actor } from '../generations/audit.ts'

const UNKNOWN: Actor = { uid: null, gid: null, pid: null, user: 'unknown', by: 'socket' }

/** Tells callers apart. */
export class Callers {
  readonly #libc: Libc | NoLibc
  readonly #passwdFile: string

  /** @param libc a platform without the call knows nobody: `user` is "unknown" then. */
  constructor(libc: Libc | NoLibc, passwdFile: string) {
    this.#libc = libc
    this.#passwdFile = passwdFile
  }

  static async open(): Promise<Callers> {
    return new Callers(await openLibc(), '/etc/passwd')
  }

  /** Who has connected. */
  of(socket: Socket): Actor {
    const fd = descriptorOf(socket)
    if (!isLibc(this.#libc) || fd < 0) return UNKNOWN
    const peer = peerCredentials(this.#libc, fd)
    if (peer === undefined) return UNKNOWN
    return { ...peer, user: userName(peer.uid, this.#passwdFile), by: 'socket' }
  }
}

/** Node has no public way to the descriptor of a socket; without one the caller is unknown. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd = isGroup(handle) ? handle['fd'] : undefined
  return typeof fd === 'number' ? fd : -1
}

/** The name that a file like /etc/passwd has for a user, else the number as text. */
export function userName(uid: number, file: string): string {
  return fieldOf(file, 2, String(uid), 0) ?? String(uid)
}

/** The number that a file like /etc/group has for a group; undefined when it has none. */
export function groupNumber(name: string, file: string): number | undefined {
  const text = /^\d{1,10}$/.test(name) ? name : fieldOf(file, 0, name, 2)
  return text === undefined ? undefined : Number(text)
}

/** In lines of fields parted by colons: the field `wanted` of the first whose `key` is `value`. */
function fieldOf(file: string, key: number, value: string, wanted: number): string | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const line = text.split('\n').find((candidate) => candidate.split(':')[key] === value)
  return line?.split(':')[wanted] || undefined
}
