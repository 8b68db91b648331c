/**
 * The picture of the dashboard: `npm run picture:dashboard`.
 *
 * Starts the built server with Redis, two upstreams, sites and the lists that ship, and a
 * Prometheus; lets a few houses ask for two minutes; asks the main panels' own expressions and
 * draws what came as deploy/grafana/dashboard.png. vitest runs it because the servers of the tests
 * end with vitest. A panel without data is an error, and the old picture stays.
 */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Resvg } from '@resvg/resvg-js'
import { test } from 'vitest'
import {
  GRAFANA,
  queryNow,
  queryRange,
  readDashboard,
  startObservedServer,
  startPrometheus,
  type Panel,
} from '../../test/support/dashboard.ts'
import { runToEnd } from '../../test/support/processes.ts'
import { packagedFile, program } from '../../test/support/programs.ts'
import { chartOf } from './curves.ts'
import { draw, FONT, type PlacedChart, type Stat } from './draw.ts'
import { drive, slowUpstreams } from './traffic.ts'
import { withUnit } from './units.ts'

const TITLE = 'niveau3 — one worker, two sites, two upstreams, two minutes'
/** Before the picture begins: rates need a few scrapes, and the cache its first answers. */
const WARM_UP_SECONDS = 15
const PICTURE_SECONDS = 120
const STATS = [
  'Filtering',
  'Essential open',
  'Ready',
  'Queries/s',
  'Blocked',
  'From cache',
  'p99',
  'Names blocked',
]
/** Row and panel, in the order of the picture. */
const CHARTS: readonly (readonly [row: string, title: string])[] = [
  ['Traffic', 'Answers by outcome'],
  ['Latency', 'Answer times'],
  ['Filter', 'Blocks by category'],
  ['Traffic', 'Questions by type'],
  ['Traffic', 'Questions by site'],
  ['Filter', 'Looking for a way round'],
  ['Cache and Redis', 'Look-ups'],
  ['Cache and Redis', 'Redis answer times'],
  ['Upstreams', 'p95'],
  ['Runtime', 'Memory of the process'],
  ['Runtime', 'Processor'],
  ['Traffic', 'Answers by rcode'],
]

test('draws the dashboard from what its panels answer', async () => {
  const env = { NIVEAU3_FORWARD__STRATEGY: 'parallel' }
  const server = await startObservedServer({ upstreams: slowUpstreams(Date.now()), env })
  const prometheus = await startPrometheus(server.metricsPort)
  await drive(server, WARM_UP_SECONDS + PICTURE_SECONDS)
  const end = Math.floor(Date.now() / 1000)
  const stats = await Promise.all(STATS.map((title) => stat(prometheus, title)))
  const charts = await Promise.all(
    CHARTS.map(([row, title]) => chart(prometheus, row, title, end - PICTURE_SECONDS)),
  )
  const picture = new Resvg(draw(TITLE, stats, charts, PICTURE_SECONDS), {
    font: {
      loadSystemFonts: false,
      fontFiles: await Promise.all(FONT_FILES.map((path) => packagedFile(FONT_PACKAGE, path))),
      defaultFontFamily: FONT,
    },
  })
  await writeSmall(picture.render().asPng(), join(GRAFANA, 'dashboard.png'))
})

/** Writes the picture with a palette: a third of the octets, and nobody sees it. */
async function writeSmall(png: Uint8Array, path: string): Promise<void> {
  const large = `${path}.large`
  await writeFile(large, png)
  const args = ['--force', '--strip', '--speed', '1', '--output', path, '256', large]
  const { code, stderr } = await runToEnd(await program('pngquant'), args)
  await rm(large)
  if (code !== 0) throw new Error(`pngquant: ${stderr}`)
}

const FONT_PACKAGE = 'fonts-dejavu-core'
const FONT_FILES = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map(
  (name) => `usr/share/fonts/truetype/dejavu/${name}`,
)

async function stat(prometheus: string, title: string): Promise<Stat> {
  const panel = panelOf('Overview', title)
  const [sample] = await queryNow(prometheus, panel.targets![0]!.expr)
  if (sample === undefined) throw new Error(`the panel "${title}" has no data`)
  const { unit = 'short', mappings = [] } = panel.fieldConfig?.defaults ?? {}
  const word = mappings.map(({ options }) => options[sample.value[1]]).find(Boolean)
  const text = word?.text ?? withUnit(unit, Number(sample.value[1]))
  return { title: panel.title, text, color: word?.color }
}

async function chart(
  prometheus: string,
  row: string,
  title: string,
  start: number,
): Promise<PlacedChart> {
  const panel = panelOf(row, title)
  const answers = await Promise.all(
    panel.targets!.map(({ expr }) => queryRange(prometheus, expr, start, start + PICTURE_SECONDS)),
  )
  const drawn = chartOf(panel, answers, start, PICTURE_SECONDS)
  const hasData = drawn.curves.some(({ values }) => values.some((value) => value !== undefined))
  if (!hasData) throw new Error(`the panel "${row}: ${title}" has no data`)
  return { ...drawn, row }
}

/** The panel of that title below that row. */
function panelOf(row: string, title: string): Panel {
  const { panels } = readDashboard()
  const from = panels.findIndex((panel) => panel.type === 'row' && panel.title === row)
  const next = panels.findIndex((panel, index) => index > from && panel.type === 'row')
  const inRow = panels.slice(from, next === -1 ? undefined : next)
  const panel = inRow.find((candidate) => candidate.title === title && candidate.type !== 'row')
  if (panel === undefined) throw new Error(`the dashboard has no panel "${row}: ${title}"`)
  return panel
}
