/** Where the bare path's processes hear each other. Not lambus's subjects: the floor knows nothing of it. */
export const door = 'floor.door'
export const worker = 'floor.worker'
/** Answered by the door at once, without any worker: NATS request-reply and nothing else. */
export const raw = 'floor.raw'
