/** Rules and pauses of an operator, written shortly. */
import type {
  OverlayMessage,
  OverlayPause,
  OverlayRule,
} from '../../src/dataplane/policy/overlay.ts'
import { name } from './octets.ts'

export type RuleFields = Partial<Omit<OverlayRule, 'name' | 'action'>>

function rule(action: OverlayRule['action'], text: string, fields: RuleFields): OverlayRule {
  const rest = { exact: false, site: '', category: 'denied', untilMs: Number.POSITIVE_INFINITY }
  return { ...rest, ...fields, name: name(text.toLowerCase()), action }
}

export function allow(text: string, fields: RuleFields = {}): OverlayRule {
  return rule('allow', text, fields)
}

export function deny(text: string, fields: RuleFields = {}): OverlayRule {
  return rule('deny', text, fields)
}

/** A pause of everything, everywhere, unless told otherwise. */
export function pause(untilMs: number, fields: Partial<OverlayPause> = {}): OverlayPause {
  return { category: '', site: '', ...fields, untilMs }
}

export function overlay(...parts: readonly (OverlayRule | OverlayPause)[]): OverlayMessage {
  return {
    rules: parts.filter((part) => 'action' in part),
    pauses: parts.filter((part) => !('action' in part)),
  }
}
