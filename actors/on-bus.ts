/**
 * Puts a host on the bus, so that anybody can send events to its actors: the front door of machines that are not ours.
 *
 *     nats pub lambus.actor.traffic-light.main-street.walk '{"who":"Ada"}'
 *     → the actor `main-street` of the machine `traffic-light` hears { type: 'walk', who: 'Ada' }
 *
 * Core NATS: an event that is published while nobody listens is lost, and nobody answers. Further tokens belong to the
 * type: `…main-street.power.off` is the event `power.off`.
 */
import type { Bus, Subscription } from '../bus/bus.ts'
import { fieldsOf } from '../bus/message-fields.ts'
import { anyActor, tokens } from '../bus/subjects.ts'
import type { Host } from './actor.ts'
import type { HostedMachine } from './step.ts'

/**
 * Hears events for all actors of a host, on `bus/subjects.ts`'s `actor`. The body is a JSON object with the event's fields,
 * or nothing. A message that is no event of the machine (no type, an unknown one, one of XState's own, a body that is not
 * a JSON object) counts as malformed; one for an actor that is not there as a dead letter: see `host.counts`.
 */
export function onBus<Machine extends HostedMachine>(
  hosted: Host<Machine>,
  bus: Pick<Bus, 'subscribe'>,
): Subscription {
  return bus.subscribe(anyActor(hosted.machine.id), (message) => {
    const [, , , instance = '', ...type] = tokens(message.subject)
    const fields = message.data.length === 0 ? {} : fieldsOf(message)
    hosted.hear(instance, fields && { ...fields, type: type.join('.') })
  })
}
