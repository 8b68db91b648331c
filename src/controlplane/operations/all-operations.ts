/** Every operation by its name, for those who are told only that. */

import { COMPARE_GENERATIONS } from './compare-generations.ts'
import { PIN, RESUME, ROLL_BACK } from './generation-changes.ts'
import type { NamedOperation } from './operation.ts'
import { SHOW_LISTS } from './show-lists.ts'
import { ADD_LIST, ENABLE_LIST, REMOVE_LIST } from './subscription-changes.ts'
import { TEST_LIST } from './test-list.ts'
import { UPDATE_LISTS } from './update-subscribed.ts'

export const OPERATIONS: readonly NamedOperation[] = [
  SHOW_LISTS,
  UPDATE_LISTS,
  COMPARE_GENERATIONS,
  ROLL_BACK,
  RESUME,
  PIN,
  ADD_LIST,
  REMOVE_LIST,
  ENABLE_LIST,
  TEST_LIST,
]
