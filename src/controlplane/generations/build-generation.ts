/** All good lists to one image: built, and handed on to be judged. */

import { OperationalError } from '../../base/errors.ts'
import type { Trie } from '../../trie/open.ts'
import type { ListReport, ListSource } from '../blocklist/list-source.ts'
import type { ImageComparison } from '../blocklist/safety/compare-images.ts'
import type { CompiledLists, CompileProgress } from '../compiler/compile.ts'
import type { Compile } from './check-list.ts'
import type { GenerationReport } from './generation-store.ts'
import { judgeImage, type JudgedImage, type JudgeOptions } from './judge-image.ts'

export interface BuildOptions extends JudgeOptions {
  readonly compile: Compile
  readonly onProgress: (progress: CompileProgress) => void
  readonly sources: readonly ListSource[]
  /** What each source has to be; the file is read once more here. */
  readonly expected: ReadonlyMap<string, string>
  /** Digest of everything that the image is made of. */
  readonly inputs: string
}

/**
 * Builds and tests a generation; the caller publishes or discards the draft.
 *
 * @throws OperationalError when lists cannot be read, or the disk cannot be written.
 */
export async function buildGeneration(options: BuildOptions): Promise<JudgedImage> {
  const compiled = await options.compile(options.sources, options.onProgress)
  requireExpected(compiled, options.expected)
  return judgeImage(
    compiled.image,
    (generation, trie, comparison) => reportOf(generation, trie, compiled, comparison, options),
    options,
  )
}

/** A list that changed on disk between its own check and this build has been judged by nobody. */
function requireExpected(
  { reports }: CompiledLists<ListReport>,
  expected: ReadonlyMap<string, string>,
): void {
  for (const { name, file, sha256 } of reports) {
    const known = expected.get(name)
    if (known === undefined || known === sha256) continue
    throw new OperationalError(
      'ERR_STATE',
      `${file} is not what it was when it was fetched; "niveau3 lists update ${name}" fetches it anew`,
      { file },
    )
  }
}

function reportOf(
  generation: number,
  trie: Trie,
  { lists, reports }: CompiledLists<ListReport>,
  comparison: ImageComparison | undefined,
  { inputs, overruled }: BuildOptions,
): GenerationReport {
  return {
    schema: 'niveau3.generation/1',
    generation,
    digest: trie.digest,
    createdAt: new Date().toISOString(),
    names: trie.names,
    octets: trie.octets,
    lists: lists.map((list, index) => ({
      name: list.name,
      category: list.category,
      sha256: list.sha256,
      rules: list.rules,
      exceptions: list.exceptions,
      kept: list.kept,
      refused: reports[index]?.refusedCount ?? 0,
      exempted: reports[index]?.exemptedCount ?? 0,
      above: reports[index]?.aboveCount ?? 0,
    })),
    ...(comparison && { comparison }),
    inputs,
    forced: [...overruled.texts],
  }
}
