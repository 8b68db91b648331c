/** Text lists to one image: reads every list through its parser, then builds. */

import { OperationalError } from '../../base/errors.ts'
import type { RuleSink } from '../blocklist/rule.ts'
import { buildImage } from './build-image.ts'
import type { BuiltImage, ListFacts } from './build-image.ts'
import { DEFAULT_LIMITS } from './name-table.ts'
import type { NameTableLimits } from './name-table.ts'
import { RuleCollector } from './rule-collector.ts'

/** The part of a list's description that the compiler passes on into the image. */
export interface CompilerSource {
  readonly name: string
  readonly category: string
  readonly file: string
  readonly licence?: string | undefined
  readonly attribution?: string | undefined
  readonly date?: string | undefined
}

/** The part of a reader's report that the compiler needs. */
export interface CompilerListReport {
  readonly sha256: string
  readonly octets: number
}

/** Reads one list into a sink: `readList` of the block lists, its gates already given. */
export type ListReader<Source extends CompilerSource, Report extends CompilerListReport> = (
  source: Source,
  sink: RuleSink,
) => Promise<Report>

/** How far a compilation has come. */
export interface CompileProgress {
  /** `read`: rules arrive; `build`: verdicts and codes are worked out. */
  readonly phase: 'read' | 'build'
  /** The list that is read now, or was read last. */
  readonly list: string
  readonly listsRead: number
  readonly listsTotal: number
  /** Octets of the sources that are read. */
  readonly octets: number
  /** Distinct names so far. */
  readonly names: number
  readonly namesPerSecond: number
}

export interface CompileOptions<Source extends CompilerSource, Report extends CompilerListReport> {
  readonly readList: ListReader<Source, Report>
  readonly onProgress?: ((progress: CompileProgress) => void) | undefined
  readonly limits?: NameTableLimits | undefined
}

export interface CompiledLists<Report extends CompilerListReport> extends BuiltImage {
  /** What each reader reported, in the order of the sources. */
  readonly reports: readonly Report[]
}

/** Rules between two reports of progress. */
const PROGRESS_RULES = 50_000

/**
 * Compiles the lists into one image, in this thread.
 *
 * @throws OperationalError ERR_NO_LIST without any source, and whatever a reader throws.
 */
export async function compile<Source extends CompilerSource, Report extends CompilerListReport>(
  sources: readonly Source[],
  options: CompileOptions<Source, Report>,
): Promise<CompiledLists<Report>> {
  if (sources.length === 0) {
    throw new OperationalError(
      'ERR_NO_LIST',
      'there is no list to compile: give one with --blocklist CATEGORY=FILE',
    )
  }
  const collector = new RuleCollector(options.limits ?? DEFAULT_LIMITS)
  const progress = new ProgressMeter(collector, sources.length, options.onProgress)
  const reports: Report[] = []
  for (const source of sources) {
    progress.startList(source.name)
    const report = await options.readList(source, progress.watched(collector.addList(source.file)))
    progress.endList(report.octets)
    reports.push(report)
  }
  progress.tell('build')
  const facts = sources.map((source, index) => factsOf(source, reports[index]!))
  return { ...buildImage(collector, facts), reports }
}

function factsOf(source: CompilerSource, report: CompilerListReport): ListFacts {
  return {
    name: source.name,
    category: source.category,
    source: source.file,
    sha256: report.sha256,
    octets: report.octets,
    date: source.date ?? '',
    licence: source.licence ?? '',
    attribution: source.attribution ?? '',
  }
}

/** Counts what passes and tells about it now and then. */
class ProgressMeter {
  readonly #collector: RuleCollector
  readonly #listsTotal: number
  readonly #onProgress: ((progress: CompileProgress) => void) | undefined
  readonly #startMs = performance.now()
  #list = ''
  #listsRead = 0
  #octets = 0
  #rulesUntilTold = PROGRESS_RULES

  constructor(
    collector: RuleCollector,
    listsTotal: number,
    onProgress: ((progress: CompileProgress) => void) | undefined,
  ) {
    this.#collector = collector
    this.#listsTotal = listsTotal
    this.#onProgress = onProgress
  }

  startList(list: string): void {
    this.#list = list
    this.tell('read')
  }

  endList(octets: number): void {
    this.#listsRead++
    this.#octets += octets
    this.tell('read')
  }

  /** Wraps a sink so that long lists show progress too. */
  watched(sink: RuleSink): RuleSink {
    if (this.#onProgress === undefined) return sink
    return {
      add: (name, octets, coverage, action, line) => {
        sink.add(name, octets, coverage, action, line)
        if (--this.#rulesUntilTold > 0) return
        this.#rulesUntilTold = PROGRESS_RULES
        this.tell('read')
      },
    }
  }

  tell(phase: CompileProgress['phase']): void {
    if (this.#onProgress === undefined) return
    const seconds = (performance.now() - this.#startMs) / 1000
    const names = this.#collector.names.count
    this.#onProgress({
      phase,
      list: this.#list,
      listsRead: this.#listsRead,
      listsTotal: this.#listsTotal,
      octets: this.#octets,
      names,
      namesPerSecond: seconds > 0 ? Math.round(names / seconds) : 0,
    })
  }
}
