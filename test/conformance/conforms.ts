/**
 * Ties tests to the rows of the conformance table. To tag a test, or a whole `describe`, say first
 * in its body which rows it shows:
 *
 *     test('EDNS version 1 gets BADVERS', async () => {
 *       conforms('edns-version')
 *
 * Rows are the keys of rows-rfc.ts and rows-attacks.ts; ids have to be literals, because the table
 * is read from the sources. Then `npm run conformance` writes test/conformance.md anew (after a
 * merge conflict in it, too), and the row leaves `AWAITED` in conformance.test.ts.
 */
import type { ATTACK_ROWS } from './rows-attacks.ts'
import type { RFC_ROWS } from './rows-rfc.ts'

export type RowId = keyof typeof RFC_ROWS | keyof typeof ATTACK_ROWS

/** Says that the test around it shows what these rows say; does nothing when it runs. */
export function conforms(..._rows: [RowId, ...RowId[]]): void {}
