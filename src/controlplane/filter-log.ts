/** What the log tells of a filter that was loaded. */
import type { Logger } from 'pino'
import type { LoadedFilter } from './filter.ts'

/** One line a list at start and reload: what was taken and what was not, in numbers. */
export function logReports(log: Logger, filter: LoadedFilter): void {
  for (const why of filter.passedOver ?? []) {
    log.error({ event: 'generation_passed_over' }, `an older filter is in force: ${why}`)
  }
  for (const report of filter.reports) {
    const { name, category, format, rules, exceptions, refusedCount, exemptedCount } = report
    log.info(
      {
        event: 'list_read',
        list: name,
        category,
        format,
        rules,
        exceptions,
        refused: refusedCount,
        exempted: exemptedCount,
      },
      `list ${name}: ${rules} rules`,
    )
  }
}
