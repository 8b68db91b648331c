/**
 * The compiled images of an installation: each build is a folder of its own, numbered and named by
 * its digest, with its report. `current.json` names the one in force; a rollback writes that file
 * and a mark into the folders of those that it takes out of force.
 */

import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import * as z from 'zod'

import { OperationalError } from '../../base/errors.ts'
import { writeImage } from '../compiler/image-file.ts'
import { systemCode } from '../config/plain.ts'
import { readStateFile, syncFolder, unwritable, writeStateFile } from './state-file.ts'

const FOLDER_NAME = /^(\d{6})-([0-9a-f]{12})$/
/** Folders of generations that nobody has tested yet. */
const DRAFT_PREFIX = '.draft-'
/** In the folder of a generation that a rollback has taken out of force. */
const WITHDRAWN_FILE = 'withdrawn.json'
const count = z.int().min(0)
const difference = z.object({
  names: count,
  byCategory: z.record(z.string(), count),
  samples: z.array(z.string()).readonly(),
})

/** What is kept with an image. */
export const GenerationReport = z.object({
  schema: z.literal('niveau3.generation/1'),
  generation: z.int().min(1),
  /** Of the image; lower-case hexadecimal. */
  digest: z.string(),
  createdAt: z.iso.datetime(),
  names: count,
  octets: count,
  lists: z.array(
    z.object({
      name: z.string(),
      category: z.string(),
      sha256: z.string(),
      rules: count,
      exceptions: count,
      kept: count,
      refused: count,
      exempted: count,
      above: count,
    }),
  ),
  /** Against the generation before. */
  comparison: z
    .object({
      oldNames: count,
      newNames: count,
      added: difference,
      removed: difference,
      moved: difference,
    })
    .optional(),
  /** Digest of what the image was made of: the same inputs need no new image. */
  inputs: z.string(),
  /** Gates that the operator has overruled. */
  forced: z.array(z.string()),
  /** Of an image that another machine has built and signed. */
  fleet: z.object({ sequence: z.int().min(1), generation: count }).optional(),
})

export type GenerationReport = z.output<typeof GenerationReport>

const CurrentFile = z.strictObject({
  schema: z.literal('niveau3.current/1'),
  generation: z.int().min(1),
  /** Set by a rollback: automatic updates wait until somebody resumes them. */
  hold: z.strictObject({ since: z.iso.datetime(), why: z.string() }).nullable(),
  /** Generations that are never removed. */
  pinned: z.array(z.int().min(1)),
})

export type CurrentGeneration = z.output<typeof CurrentFile>

/** One generation on disk. */
export interface Generation {
  readonly number: number
  readonly folder: string
  readonly imageFile: string
  readonly report: GenerationReport
}

/** The file whose change says that another generation is in force. */
export function currentFileOf(stateDirectory: string): string {
  return join(stateDirectory, 'current.json')
}

/** All generations of one state directory. */
export class GenerationStore {
  readonly #folder: string
  readonly #currentFile: string

  constructor(stateDirectory: string) {
    this.#folder = join(stateDirectory, 'generations')
    this.#currentFile = currentFileOf(stateDirectory)
  }

  /** Which generation is in force; undefined before the first. */
  state(): Promise<CurrentGeneration | undefined> {
    return readStateFile(this.#currentFile, CurrentFile)
  }

  /** Numbers of all generations, the newest first. */
  async numbers(): Promise<readonly number[]> {
    return [...(await this.#folders()).keys()].toSorted((a, b) => b - a)
  }

  /**
   * Finds a generation.
   *
   * @throws OperationalError ERR_NO_STATE when there is no such generation (any more).
   */
  async find(number: number): Promise<Generation> {
    const folders = await this.#folders()
    const name = folders.get(number)
    const folder = name === undefined ? '' : join(this.#folder, name)
    const report =
      name === undefined
        ? undefined
        : await readStateFile(join(folder, 'report.json'), GenerationReport)
    if (report === undefined) {
      const there = [...folders.keys()].join(', ') || 'none'
      throw new OperationalError('ERR_NO_STATE', `no generation ${number}; there are: ${there}`)
    }
    return { number, folder, imageFile: join(folder, 'image.n3'), report }
  }

  /** The generation in force; undefined before the first. */
  async current(): Promise<Generation | undefined> {
    const state = await this.state()
    return state === undefined ? undefined : this.find(state.generation)
  }

  /**
   * Writes a new generation where no number finds it, to be tested and then published or discarded.
   *
   * @throws OperationalError ERR_WRITE.
   */
  async draft(
    image: SharedArrayBuffer,
    reportOf: (generation: number) => GenerationReport,
  ): Promise<Generation> {
    const number = ((await this.numbers())[0] ?? 0) + 1
    const report = reportOf(number)
    const folder = join(this.#folder, `${DRAFT_PREFIX}${randomBytes(6).toString('hex')}`)
    const imageFile = join(folder, 'image.n3')
    try {
      await mkdir(folder, { recursive: true, mode: 0o750 })
      await writeImage(imageFile, image)
      await writeStateFile(join(folder, 'report.json'), report)
    } catch (cause) {
      await rm(folder, { recursive: true, force: true }).catch(() => undefined)
      throw unwritable(folder, cause)
    }
    return { number, folder, imageFile, report }
  }

  /** Gives a tested draft its number; it is not in force yet. */
  async publish({ folder: draft, number, report }: Generation): Promise<Generation> {
    const name = `${String(number).padStart(6, '0')}-${report.digest.slice(0, 12)}`
    const folder = join(this.#folder, name)
    try {
      await rename(draft, folder)
      await syncFolder(this.#folder)
    } catch (cause) {
      throw unwritable(folder, cause)
    }
    return { number, folder, imageFile: join(folder, 'image.n3'), report }
  }

  /** Removes a draft. */
  async discard({ folder }: Generation): Promise<void> {
    await rm(folder, { recursive: true, force: true })
  }

  /** Puts a generation in force, in one rename. */
  async setCurrent(generation: number, hold: CurrentGeneration['hold']): Promise<void> {
    const pinned = (await this.state())?.pinned ?? []
    await this.#write({ schema: 'niveau3.current/1', generation, hold, pinned })
  }

  /**
   * Puts an older generation in force and marks the newer ones, so that a start that cannot read
   * `current.json` does not serve what somebody has taken out of force.
   *
   * @throws OperationalError ERR_NO_STATE when there is no such generation, ERR_WRITE.
   */
  async rollBack(generation: number, hold: CurrentGeneration['hold']): Promise<void> {
    const { folder } = await this.find(generation)
    for (const [number, name] of await this.#folders()) {
      if (number <= generation) continue
      const facts = { since: new Date().toISOString(), why: hold?.why ?? '' }
      await writeStateFile(join(this.#folder, name, WITHDRAWN_FILE), facts)
    }
    await this.setCurrent(generation, hold)
    await rm(join(folder, WITHDRAWN_FILE), { force: true })
  }

  /** Whether a rollback has taken a generation out of force. */
  async isWithdrawn(number: number): Promise<boolean> {
    const name = (await this.#folders()).get(number)
    if (name === undefined) return false
    return access(join(this.#folder, name, WITHDRAWN_FILE)).then(
      () => true,
      () => false,
    )
  }

  /** Keeps a generation for good, or no longer. */
  async pin(generation: number, isPinned: boolean): Promise<void> {
    await this.find(generation)
    const state = await this.#requireState()
    const others = state.pinned.filter((number) => number !== generation)
    const pinned = isPinned ? [...others, generation] : others
    await this.#write({ ...state, pinned })
  }

  /** Lets automatic updates go on. */
  async release(): Promise<void> {
    await this.#write({ ...(await this.#requireState()), hold: null })
  }

  /** Removes all but the newest ones, the one in force and the pinned ones. */
  async prune(kept: number): Promise<void> {
    const state = await this.state()
    const numbers = await this.numbers()
    const stays = new Set([
      ...numbers.slice(0, kept),
      ...(state?.pinned ?? []),
      ...(state === undefined ? [] : [state.generation]),
    ])
    for (const [number, name] of await this.#folders()) {
      if (stays.has(number)) continue
      await rm(join(this.#folder, name), { recursive: true, force: true })
    }
    for (const name of await readdir(this.#folder).catch(() => [])) {
      if (!name.startsWith(DRAFT_PREFIX)) continue
      await rm(join(this.#folder, name), { recursive: true, force: true })
    }
  }

  async #requireState(): Promise<CurrentGeneration> {
    const state = await this.state()
    if (state !== undefined) return state
    throw new OperationalError(
      'ERR_NO_STATE',
      'there is no generation yet; "niveau3 lists update" makes the first one',
    )
  }

  async #write(state: CurrentGeneration): Promise<void> {
    await writeStateFile(this.#currentFile, state)
  }

  /** Folder names by number, the newest first. */
  async #folders(): Promise<ReadonlyMap<number, string>> {
    const names = await readdir(this.#folder).catch((cause: unknown): string[] => {
      const code = systemCode(cause)
      if (code === 'ENOENT') return []
      const why = `${this.#folder} cannot be read (${code})`
      throw new OperationalError('ERR_PERMISSION', why, { file: this.#folder, cause })
    })
    const found = names.flatMap((name): [number, string][] => {
      const number = FOLDER_NAME.exec(name)?.[1]
      return number === undefined ? [] : [[Number(number), name]]
    })
    return new Map(found.toSorted(([a], [b]) => b - a))
  }
}
