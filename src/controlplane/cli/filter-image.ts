/** The image that a command works on: one from disk, or one compiled from the configured lists. */

import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import type { ListReport } from '../blocklist/list-source.ts'
import type { CompiledLists, CompileProgress } from '../compiler/compile.ts'
import { compileInThread } from '../compiler/compile-thread.ts'
import { readImage } from '../compiler/image-file.ts'
import type { ControlSettings } from '../config/settings.ts'
import { startProgress } from './progress.ts'
import type { Terminal } from './terminal.ts'

/**
 * Compiles the lists off the main thread and shows how far it is.
 *
 * @throws OperationalError as `compileInThread` does.
 */
export async function compileShown(
  control: ControlSettings,
  terminal: Terminal,
): Promise<CompiledLists<ListReport>> {
  const progress = startProgress(terminal)
  try {
    return await compileInThread(control.lists, {
      essentialFiles: control.essentialFiles,
      onProgress: (told) => progress.update(told.listsRead, told.listsTotal, progressText(told)),
    })
  } finally {
    progress.end()
  }
}

function progressText({ phase, list, names, namesPerSecond }: CompileProgress): string {
  const speed = `${groupDigits(names)} names, ${groupDigits(namesPerSecond)}/s`
  return phase === 'read' ? `reading ${list}: ${speed}` : `building: ${speed}`
}

/**
 * Reads and checks an image.
 *
 * @throws OperationalError ERR_IMAGE or ERR_IMAGE_VERSION, naming the file.
 */
export async function openImageFile(file: string): Promise<Trie> {
  const image = await readImage(file)
  try {
    return openTrie(image)
  } catch (cause) {
    if (!(cause instanceof OperationalError)) throw cause
    throw new OperationalError(cause.code, `${file}: ${cause.message}`, { file, cause })
  }
}

/** `826603` as `826,603`. */
export function groupDigits(count: number): string {
  return count.toLocaleString('en')
}
