/**
 * A network of its own for a test: one loopback device, whose addresses the test may change, and no
 * way out. It lives as long as its first process.
 */
import { rm, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Exit, type Process, runToEnd, startProcess } from './processes.ts'
import { program } from './programs.ts'

const IS_ROOT = process.getuid?.() === 0

/** A running namespace; made by `openNetworkNamespace`. */
export interface NetworkNamespace {
  /** A process that lives in it as long as it lives. */
  readonly pid: number
  /** Runs a command in it to its end. */
  run(
    command: string,
    ...args: readonly string[]
  ): Promise<Exit & { readonly stdout: string; readonly stderr: string }>
  /** Starts a program in it; it becomes the process itself. */
  start(command: string, args: readonly string[], ready: RegExp): Promise<Process>
  /** `ip ARGUMENTS...`; rejects with its output when it fails. */
  ip(...args: readonly string[]): Promise<void>
}

/**
 * Makes a network namespace with its loopback up; it ends with the tests of the file.
 *
 * Root may make one, other users where the kernel lets them; where neither holds, the error says
 * so.
 */
export async function openNetworkNamespace(): Promise<NetworkNamespace> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-network-'))
  const unshare = IS_ROOT ? ['--net'] : ['--user', '--map-root-user', '--net']
  const holder = await startProcess(
    await program('unshare'),
    [...unshare, 'sh', '-c', 'echo holding; exec sleep infinity'],
    { ready: { line: /^holding/ }, cleanUp: () => rm(folder, { recursive: true, force: true }) },
  ).catch((cause: unknown) => {
    throw new Error(
      'This test needs a network namespace: run it as root, or let users make namespaces ' +
        '(sysctl kernel.unprivileged_userns_clone=1).',
      { cause },
    )
  })
  const nsenter = await program('nsenter')
  const user = IS_ROOT ? [] : ['--user', '--preserve-credentials']
  const enter = [...user, '--net', '--target', String(holder.pid), '--']
  const ip = await program('ip')
  const run: NetworkNamespace['run'] = (command, ...args) =>
    runToEnd(nsenter, [...enter, command, ...args], { cwd: folder })
  const namespace: NetworkNamespace = {
    pid: holder.pid,
    run,
    start: (command, args, ready) =>
      startProcess(nsenter, [...enter, command, ...args], { cwd: folder, ready: { line: ready } }),
    ip: async (...args) => {
      const { code, stderr } = await run(ip, ...args)
      if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
    },
  }
  await namespace.ip('link', 'set', 'lo', 'up')
  return namespace
}
