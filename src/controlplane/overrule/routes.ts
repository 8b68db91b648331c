/** Rules and pauses over the admin socket: what the commands ask of a running server. */

import * as z from 'zod'

import { OperationalError } from '../../base/errors.ts'
import { MiB } from '../../base/units.ts'
import { route, type Call, type Route } from '../admin/route.ts'
import type { OverruleKeeper } from './overrule-keeper.ts'
import {
  AddRules,
  ImportRules,
  PauseBlocking,
  RemoveRules,
  ResumeBlocking,
  type OverruleChange,
} from './requests.ts'

const IMPORT_OCTETS_MAX = 8 * MiB
const Nothing = z.strictObject({})

type Make<Body> = (keeper: OverruleKeeper, call: Call<Body>) => Promise<OverruleChange>

/** @param keeperOf undefined where the server has no state directory to keep rules in. */
export function overruleRoutes(keeperOf: () => OverruleKeeper | undefined): readonly Route[] {
  const keeper = (): OverruleKeeper => requireKeeper(keeperOf())
  const making =
    <Body>(make: Make<Body>) =>
    (call: Call<Body>) =>
      make(keeper(), call)
  return [
    route('GET', '/v1/rules', Nothing, async () => keeper().list()),
    route(
      'POST',
      '/v1/rules/add',
      AddRules,
      making((own, { body, caller }) => own.add(body, caller)),
      MiB,
    ),
    route(
      'POST',
      '/v1/rules/remove',
      RemoveRules,
      making((own, { body, caller }) => own.remove(body, caller)),
      MiB,
    ),
    route(
      'POST',
      '/v1/rules/import',
      ImportRules,
      making((own, { body, caller }) => own.importRules(body, caller)),
      IMPORT_OCTETS_MAX,
    ),
    route(
      'POST',
      '/v1/pause',
      PauseBlocking,
      making((own, { body, caller }) => own.pause(body, caller)),
    ),
    route(
      'POST',
      '/v1/resume',
      ResumeBlocking,
      making((own, { body, caller }) => own.resume(body, caller)),
    ),
  ]
}

function requireKeeper(keeper: OverruleKeeper | undefined): OverruleKeeper {
  if (keeper !== undefined) return keeper
  throw new OperationalError(
    'ERR_NO_STATE',
    'the server has no state directory to keep rules and pauses in: start it with --state-dir DIR ' +
      'or the key stateDirectory',
  )
}
