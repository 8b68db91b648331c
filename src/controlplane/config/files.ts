/** The files that a configuration names: resolved, and looked at before anything starts. */

import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { systemCode } from './plain.ts'
import type { Origin } from './problems.ts'
import { nearest } from './suggest.ts'

/** Relative paths of the file start at its folder; all others where the command was typed. */
export function resolveFrom(path: string, origin: Origin, workingDirectory: string): string {
  const base = origin.kind === 'file' ? dirname(resolve(workingDirectory, origin.file)) : '.'
  return resolve(workingDirectory, base, path)
}

/** Why a file cannot be read, in words, with a suggestion; undefined when it can. */
export function unreadable(file: string): { why: string; suggestion?: string } | undefined {
  try {
    if (statSync(file).isDirectory()) return { why: 'is a directory, not a file' }
    accessSync(file, constants.R_OK)
    return undefined
  } catch (error) {
    const code = systemCode(error)
    if (code === 'EACCES') return { why: 'may not be read', suggestion: 'check its permissions' }
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return { why: `cannot be read: ${code}` }
    const near = nearest(basename(file), neighbours(file))
    return { why: 'does not exist', ...(near && { suggestion: `did you mean ${near}?` }) }
  }
}

/**
 * Whether something that is no folder stands where a folder is wanted. Who may not look at it (an
 * operator whose service has its own folder) is not told so: it may well be one.
 */
export function isNoDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false
  } catch {
    return false
  }
}

/** Names in a folder past this many are not looked at for a suggestion. */
const NEIGHBOURS_MAX = 1000

function neighbours(file: string): readonly string[] {
  try {
    return readdirSync(dirname(file)).slice(0, NEIGHBOURS_MAX)
  } catch {
    return []
  }
}
