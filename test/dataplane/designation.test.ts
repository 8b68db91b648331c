import { describe, expect, test } from 'vitest'
import { createDesignations } from '../../src/dataplane/policy/create-designations.ts'
import type { ListenSettings } from '../../src/dataplane/settings.ts'

const NAME = 'd.example'
/** Priority and target, then parameters in ascending order of their keys (RFC 9460 2.2). */
const TARGET = '0164076578616d706c6500'
const PORT = '00030002'

function hexOf(...listen: ListenSettings[]): string[] {
  return createDesignations(listen, NAME).map((rdata) => Buffer.from(rdata).toString('hex'))
}

describe('designations', () => {
  test('name protocol, port, addresses of both families and the path of DoH', () => {
    const [overTls, overHttps] = hexOf(
      { protocol: 'dns', address: '10.0.0.53', port: 53 },
      { protocol: 'tls', address: '10.0.0.53', port: 853 },
      { protocol: 'tls', address: 'fd00::53', port: 853 },
      { protocol: 'https', address: '10.0.0.53', port: 443 },
    )
    const dot = '0001000403646f74'
    const ipv6 = `00060010fd${'00'.repeat(14)}53`
    expect(overTls).toBe(`0001${TARGET}${dot}${PORT}0355000400040a000035${ipv6}`)
    const path = Buffer.from('/dns-query{?dns}').toString('hex')
    expect(overHttps).toBe(`0002${TARGET}00010003026832${PORT}01bb000400040a00003500070010${path}`)
  })

  test('are one for each port, and name four addresses at most', () => {
    const many = Array.from({ length: 9 }, (_, index) => `10.0.0.${index}`)
    const records = hexOf(
      ...many.map((address) => ({ protocol: 'tls' as const, address, port: 853 })),
      { protocol: 'tls', address: 'fe80::1%eth0', port: 8853 },
    )
    expect(records).toHaveLength(2)
    expect(records[0]).toMatch(/000400100a0000000a0000010a0000020a000003$/)
    expect(records[1]).toMatch(/000300022295$/)
  })

  test('are none without a name or without such a listener', () => {
    const listener = { protocol: 'tls', address: '10.0.0.53', port: 853 } as const
    expect(createDesignations([listener], undefined)).toEqual([])
    expect(hexOf({ protocol: 'dns', address: '10.0.0.53', port: 53 })).toEqual([])
  })
})
