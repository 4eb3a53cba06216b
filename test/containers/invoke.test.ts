import { onImage } from './on-image.ts'

await onImage('the synchronous path', [
  new URL('../system/somebodys-nats.test.ts', import.meta.url),
])
