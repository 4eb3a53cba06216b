/** The child of the bare path: sends every frame back as it came. */
import { Socket } from 'node:net'
import { readFrames, writeFrame } from './frames.ts'

const socket = new Socket({ fd: 3 })
readFrames(socket, (payload) => writeFrame(socket, payload))
socket.on('end', () => process.exit())
