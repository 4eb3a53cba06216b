/** A process that embeds a nats-server, says its pid, and waits to be killed: `nats-server-owner.ts <binary> <version> <dir>` */
import { pino } from 'pino'
import { hostChildren } from '../../actors/child.ts'
import { embedNatsServer } from '../../actors/nats-server.ts'
import { systemClock } from '../../edges/clock.ts'

const [binary = '', version = '', dataDir = ''] = process.argv.slice(2)
const log = pino({ level: 'silent' })
const children = hostChildren({ clock: systemClock, log })
const server = await embedNatsServer({ binary, version, dataDir, port: 0, children, log })
console.log(server.pid())
