/** How vitest reports: for people always, and as JSON to the file `NIVEAU3_TEST_REPORT` names. */

type Reporter = 'default' | ['json', { outputFile: string }]

/** Returns the reporters for a vitest configuration. */
export function reporters(): Reporter[] {
  const outputFile = process.env['NIVEAU3_TEST_REPORT']
  if (outputFile === undefined || outputFile === '') return ['default']
  return ['default', ['json', { outputFile }]]
}
