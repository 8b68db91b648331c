/** Which process has a port, as Linux tells it in /proc (proc(5)). */

import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** A process that has a socket. */
export interface PortOwner {
  readonly pid: number
  /** Its name, as `ps` shows it. */
  readonly name: string
  readonly commandLine: string
}

/** Sockets that wait for connections, and UDP sockets that are not connected. */
const LISTENING = { tcp: '0A', udp: '07' }
const LOCAL_COLUMN = 1
const STATE_COLUMN = 3
const INODE_COLUMN = 9

/**
 * Returns the process that listens on the port.
 *
 * @returns undefined when none does, or when it is another user's and we may not look
 */
export function ownerOfPort(protocol: 'udp' | 'tcp', port: number): PortOwner | undefined {
  const inodes = new Set([protocol, `${protocol}6`].flatMap((table) => listening(table, port)))
  if (inodes.size === 0) return undefined
  for (const entry of namesIn('/proc').filter((name) => /^\d+$/.test(name))) {
    const folder = join('/proc', entry, 'fd')
    if (!namesIn(folder).some((fd) => inodes.has(linkOf(join(folder, fd))))) continue
    const commandLine = textOf(join('/proc', entry, 'cmdline'))
      .replaceAll('\0', ' ')
      .trim()
    const name = textOf(join('/proc', entry, 'comm')).trim()
    return { pid: Number(entry), name, commandLine }
  }
  return undefined
}

function listening(table: string, port: number): readonly string[] {
  const state = table.startsWith('tcp') ? LISTENING.tcp : LISTENING.udp
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return textOf(`/proc/net/${table}`)
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[LOCAL_COLUMN]?.endsWith(wanted))
    .filter((columns) => columns[STATE_COLUMN] === state)
    .map((columns) => `socket:[${columns[INODE_COLUMN]}]`)
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
