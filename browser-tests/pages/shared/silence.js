/** A silent WAV file with this many bytes of sound: 8 bits, mono, 8,000 bytes per second. */
export function silence(bytes) {
  const rate = 8_000
  const wav = new DataView(new ArrayBuffer(44 + bytes))
  const text = (at, value) => [...value].forEach((letter, i) => wav.setUint8(at + i, letter.charCodeAt(0)))
  text(0, 'RIFF')
  wav.setUint32(4, 36 + bytes, true)
  text(8, 'WAVEfmt ')
  wav.setUint32(16, 16, true)
  wav.setUint16(20, 1, true)
  wav.setUint16(22, 1, true)
  wav.setUint32(24, rate, true)
  wav.setUint32(28, rate, true)
  wav.setUint16(32, 1, true)
  wav.setUint16(34, 8, true)
  text(36, 'data')
  wav.setUint32(40, bytes, true)
  const whole = new Uint8Array(wav.buffer)
  whole.fill(128, 44)
  return whole
}
