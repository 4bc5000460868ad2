#!/usr/bin/env bash
# The whole API in one sitting, with nothing but curl and jq: an account, a project with a recording, a range of its
# bytes, a refused overwrite, and everything removed again. Each answer is checked; the first wrong one ends the session.
#
#   cargo run --release -p notestamp-server          # in one terminal
#   examples/quickstart.sh [http://127.0.0.1:8080]   # in another
# shellcheck disable=SC2016 # the dollars in single quotes are jq's
set -euo pipefail

BASE=${1:-http://127.0.0.1:8080}
media=$(dirname "$0")/media
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Somebody new at each run, so that it can be run again and again.
email=quickstart-$(date +%s)-$RANDOM@example.com
password='correct horse battery staple'

step() { printf '\n== %s\n' "$*"; }

# request STATUS CURL-ARGUMENTS…: sends a request, shows the answer, and insists on this status. The cookies live in a
# jar, as in a browser: they are "Secure", which curl honours on https, and on localhost and 127.0.0.1.
request() {
    local expected=$1 status
    shift
    status=$(curl --silent --show-error --max-time 60 --cookie "$work/cookies" --cookie-jar "$work/cookies" \
        --dump-header "$work/headers" --output "$work/body" --write-out '%{http_code}' "$@")
    printf '   %s\n' "$status"
    if [[ $(header content-type) == application/json* ]]; then
        jq . "$work/body" | sed 's/^/   /'
    fi
    [[ $status == "$expected" ]] || wrong "the status is $status where $expected was promised"
}

# header NAME: what the last answer's header of this name says.
header() {
    tr -d '\r' <"$work/headers" | awk -v name="$1" 'BEGIN { FS = ": " } tolower($1) == name { print substr($0, length(name) + 3) }'
}

# promised JQ-FILTER: the last answer must satisfy it.
promised() {
    jq --exit-status "$@" "$work/body" >/dev/null || wrong "the answer does not satisfy: ${*: -1}"
}

wrong() {
    printf '\nNot as promised: %s\n' "$*" >&2
    exit 1
}

# save STATUS CURL-ARGUMENTS…: the notes with metadata, in the order of the notestamp client: media, content, metadata.
# The text `null` in the place of a file means: no media in this save.
save() {
    local expected=$1
    shift
    request "$expected" -X POST "$BASE/home/upload" "$@" \
        --form "content=<$media/notes.json" \
        --form-string 'metadata={"title": "A first lecture", "type": "audio", "label": "Audio player", "mimetype": "audio/mpeg"}'
}

step "Register $email"
request 201 -X POST "$BASE/auth/register" --json "{\"username\": \"$email\", \"password\": \"$password\"}"
promised --arg email "$email" '.email == $email'

step "Sign in: two cookies come back, and the list of projects, which is empty"
request 200 -X POST "$BASE/auth/signin" --json "{\"username\": \"$email\", \"password\": \"$password\"}"
promised '.directory == []'

step "Save a project: a recording and the notes on it"
save 200 --form "mediaFile=@$media/recording.mp3"
promised --argjson size "$(wc -c <"$media/recording.mp3")" 'length == 1 and .[0].mediaSize == $size'
promised --arg digest "$(sha256sum "$media/recording.mp3" | cut -d' ' -f1)" '.[0].mediaDigest == $digest'

step "List the projects"
request 200 "$BASE/home/list"
promised 'map(.title) == ["A first lecture"]'

step "Open it: its metadata, and the notes byte for byte as they were saved"
request 200 --get "$BASE/home/open" --data-urlencode 'name=A first lecture'
jq --join-output .content "$work/body" | cmp - "$media/notes.json" || wrong "the notes have changed"
revision=$(header etag)
src=$(jq --raw-output .metadata.src "$work/body")

step "Stream 10,000 bytes out of the middle of $src"
request 206 --range 20000-29999 "$src"
printf '   content-range: %s\n' "$(header content-range)"
[[ $(header content-type) == audio/mpeg ]] || wrong "the media type is $(header content-type)"
tail -c +20001 "$media/recording.mp3" | head -c 10000 >"$work/expected"
cmp "$work/body" "$work/expected" || wrong "these are other bytes"

step "Save again, provided that it is still at revision $revision"
save 200 --header "If-Match: $revision" --form-string mediaFile=null
promised --arg digest "$(sha256sum "$media/recording.mp3" | cut -d' ' -f1)" '.[0].mediaDigest == $digest'

step "Once more with the same precondition: it would overwrite what has not been seen, and is refused"
save 412 --header "If-Match: $revision" --form-string mediaFile=null
[[ -n $(header etag) && $(header etag) != "$revision" ]] || wrong "the answer does not name the current revision"

step "Delete it"
request 200 -X DELETE --get "$BASE/home/delete" --data-urlencode 'name=A first lecture'
promised '. == []'
request 404 --get "$BASE/home/open" --data-urlencode 'name=A first lecture'

step "Sign out: from now on the list is refused"
cp "$work/cookies" "$work/old-cookies"
request 200 -X DELETE "$BASE/auth/signout"
request 401 "$BASE/home/list"

step "And the old cookies, had somebody copied them, are worth nothing either"
cp "$work/old-cookies" "$work/cookies"
request 401 "$BASE/home/list"

step "Sign in again, and remove the account with everything in it"
request 200 -X POST "$BASE/auth/signin" --json "{\"username\": \"$email\", \"password\": \"$password\"}"
request 200 -X DELETE "$BASE/auth/remove"
request 401 -X POST "$BASE/auth/signin" --json "{\"username\": \"$email\", \"password\": \"$password\"}"

step "All as promised."
