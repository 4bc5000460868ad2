// The audio element of a page, and the functions by which tests use it.

const audio = document.querySelector('audio')

window.player = {
  // Returns the duration in seconds, when the browser knows it.
  load: src =>
    new Promise((resolve, reject) => {
      audio.addEventListener('loadedmetadata', () => resolve(audio.duration), { once: true })
      audio.addEventListener('error', () => reject(new Error(`the audio element: ${audio.error.message}`)), { once: true })
      audio.src = src
    }),

  seek: seconds =>
    new Promise(resolve => {
      audio.addEventListener('seeked', () => resolve(audio.currentTime), { once: true })
      audio.currentTime = seconds
    }),
}

document.querySelector('button').addEventListener('click', () => audio.play())
