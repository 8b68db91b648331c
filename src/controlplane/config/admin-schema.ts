/** The group `admin` of niveau3.yaml: the socket by which commands speak to the running server. */

import * as z from 'zod'
import { HOUR_S } from '../../base/units.ts'
import { whole } from './schema-values.ts'

/** Of `sun_path`, less its final zero (unix(7)). */
export const SOCKET_PATH_OCTETS_MAX = 107

export const AdminConfig = z.strictObject({
  socket: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        'Path of the Unix socket, at most 107 octets, or `off`. Default: `admin.sock` in ' +
        '`stateDirectory`; without one there is none. Who may write to the file may do everything ' +
        'that commands do: its mode is 0660.',
    }),
  group: z
    .string()
    .regex(/^[a-z_][a-z0-9_.-]*\$?$|^\d{1,10}$/i, 'is no name and no number of a group')
    .optional()
    .meta({
      description:
        'Group that the socket is given to, by name or number; the server’s user must belong to it. ' +
        'Default: the group of the server’s user.',
    }),
  observeSecondsMax: whole(0, HOUR_S, HOUR_S).meta({
    description:
      'Longest time for which `niveau3 tail` and `top --slow` may look at questions, an hour at most; ' +
      '0 forbids it. Nothing of them is kept, but who looks sees what is asked: a box may rule it out.',
  }),
})
