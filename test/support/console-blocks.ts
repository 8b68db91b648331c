/** The console blocks of a Markdown page: commands behind `$ `, each followed by its output. */

/** A command and what the page says that it prints. */
interface ConsoleStep {
  readonly command: string
  readonly output: readonly string[]
}

const BLOCK_START = '```console'
const BLOCK_END = '```'
const PROMPT = '$ '

/** How a page is replayed. */
export interface Replay {
  /** Runs a command and returns the lines that it prints. */
  readonly run: (command: string) => Promise<readonly string[]>
  /** Returns a line without what may differ from one run to the next. */
  readonly essence: (line: string) => string
}

/**
 * Runs every command of the page, in order, and returns the page with the output that came. Lines
 * that differ from the page's in nothing essential stay as the page has them, so that the page
 * comes back unchanged where it says the truth.
 */
export async function replayConsole(page: string, replay: Replay): Promise<string> {
  const lines: string[] = []
  let block: string[] | undefined
  for (const line of page.split('\n')) {
    if (block === undefined) {
      lines.push(line)
      if (line === BLOCK_START) block = []
    } else if (line === BLOCK_END) {
      lines.push(...(await replayBlock(stepsOf(block), replay)), line)
      block = undefined
    } else {
      block.push(line)
    }
  }
  return lines.join('\n')
}

async function replayBlock(
  steps: readonly ConsoleStep[],
  { run, essence }: Replay,
): Promise<string[]> {
  const lines: string[] = []
  let isApart = false
  for (const step of steps) {
    if (isApart) lines.push('')
    const printed = trimmed(await run(step.command))
    lines.push(`${PROMPT}${step.command}`, ...inPageWords(step.output, printed, essence))
    isApart = printed.length > 0
  }
  return lines
}

function stepsOf(block: readonly string[]): readonly ConsoleStep[] {
  const steps: { command: string; output: string[] }[] = []
  for (const line of block) {
    if (line.startsWith(PROMPT)) steps.push({ command: line.slice(PROMPT.length), output: [] })
    else if (steps.length === 0) throw new Error(`a console block begins with output: ${line}`)
    else steps.at(-1)!.output.push(line)
  }
  return steps.map(({ command, output }) => ({ command, output: trimmed(output) }))
}

/** Without blank lines at either end. */
function trimmed(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => line !== '')
  const last = lines.findLastIndex((line) => line !== '')
  return first === -1 ? [] : lines.slice(first, last + 1)
}

/** The page's own line wherever the new one says the same. */
function inPageWords(
  page: readonly string[],
  printed: readonly string[],
  essence: (line: string) => string,
): readonly string[] {
  return printed.map((line, index) => {
    const old = page[index]
    return old !== undefined && essence(old) === essence(line) ? old : line
  })
}

/** A line without what differs from run to run and from machine to machine. */
export function essenceOf(line: string): string {
  return line
    .replace(/<<>> DiG \S+ <<>>/, '<<>> DiG <<>>')
    .replace(/\bid: \d+/, 'id')
    .replace(/Query time: \d+ msec/, 'Query time')
    .replace(/^;; WHEN: .*/, ';; WHEN')
    .replace(/"time":"[^"]*"/, '"time"')
    .replace(/"workers":\d+/, '"workers"')
    .replace(/"upstreams":\[[^\]]*\]/, '"upstreams"')
    .replace(/[\d,]+ octets, [\d.]+ a name, in [\d.]+ s/, 'octets')
    .replace(/^digest [0-9a-f]{64}$/, 'digest')
}
