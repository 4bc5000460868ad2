// Saving with progress. It uses XMLHttpRequest, because fetch does not report how much of a body has been sent.

import { ApiError, urlOf } from './api.js'

// The browser reads a file into memory to hash it. Larger files are sent without trying their digest first.
const hashedBytesMax = 256 << 20

/**
 * Saves a project, and returns its new revision.
 *
 * `revision` is the revision that these notes replace, or null if the project must not exist yet. If the project has
 * changed meanwhile, the save is refused with 412, so it does not overwrite notes that the user has not seen.
 *
 * Only the first save has a `file`. Later saves omit it, and the project keeps it.
 */
export async function save({ metadata, content, file = null, revision, onProgress }) {
  const text = { content, metadata: JSON.stringify({ ...metadata, lastModified: new Date().toISOString() }) }
  if (!file) return post(text, revision)
  await read(file.slice(0, 1))
  // Browsers provide hashing only over https and on localhost.
  if (file.size > hashedBytesMax || !crypto.subtle) return post({ mediaFile: file, ...text }, revision, onProgress)

  // A file that the account already has in another project is not sent again: its digest is enough.
  const mediaDigest = await sha256(file)
  try {
    return await post({ mediaDigest, ...text }, revision)
  } catch (error) {
    if (error.code !== 'media_needed') throw error
    return post({ mediaFile: file, mediaDigest, ...text }, revision, onProgress)
  }
}

function post(parts, revision, onProgress) {
  const form = new FormData()
  for (const [name, value] of Object.entries(parts)) form.append(name, value)

  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', urlOf('/home/upload'))
    request.withCredentials = true
    if (revision) request.setRequestHeader('If-Match', revision)
    else request.setRequestHeader('If-None-Match', '*')
    if (onProgress) request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total)
    request.onload = () => {
      if (request.status === 200) resolve(request.getResponseHeader('ETag'))
      else reject(ApiError.fromResponse(request.status, request.responseText, request.getResponseHeader('Retry-After')))
    }
    request.onerror = () => reject(ApiError.withoutResponse())
    request.send(form)
  })
}

async function sha256(file) {
  const digest = await crypto.subtle.digest('SHA-256', await read(file))
  return [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, '0')).join('')
}

/** The bytes of the file. Browsers refuse to read a file that was changed, moved or deleted after the user chose it. */
async function read(file) {
  try {
    return await file.arrayBuffer()
  } catch {
    throw new ApiError(0, { message: 'the file cannot be read: please choose it again' })
  }
}
