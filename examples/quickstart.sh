#!/usr/bin/env bash
# A tour of the API with curl and jq: an account, a project with a recording, a range request, a refused overwrite, and
# the removal of the account. The script checks each response, and stops at the first one that is not as expected.
#
#   cargo run --release -p notestamp-server          # in one terminal
#   examples/quickstart.sh [http://127.0.0.1:8080]   # in another
# shellcheck disable=SC2016 # the dollars in single quotes are jq's
set -euo pipefail

BASE=${1:-http://127.0.0.1:8080}
media=$(dirname "$0")/media
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A new account for each run, so that the script can be run repeatedly.
email=quickstart-$(date +%s)-$RANDOM@example.com
password='correct horse battery staple'

step() { printf '\n== %s\n' "$*"; }

# request STATUS CURL-ARGUMENTS…: sends a request, prints the response, and checks its status. curl stores the cookies
# like a browser: they are "Secure", so curl sends them over https, and to localhost and 127.0.0.1.
request() {
    local expected=$1 status
    shift
    status=$(curl --silent --show-error --max-time 60 --cookie "$work/cookies" --cookie-jar "$work/cookies" \
        --dump-header "$work/headers" --output "$work/body" --write-out '%{http_code}' "$@")
    printf '   %s\n' "$status"
    if [[ $(header content-type) == application/json* ]]; then
        jq . "$work/body" | sed 's/^/   /'
    fi
    [[ $status == "$expected" ]] || wrong "the status is $status, but should be $expected"
}

# header NAME: prints the value of this header of the last response.
header() {
    tr -d '\r' <"$work/headers" | awk -v name="$1" 'BEGIN { FS = ": " } tolower($1) == name { print substr($0, length(name) + 3) }'
}

# promised JQ-FILTER: checks that the last response satisfies the filter.
promised() {
    jq --exit-status "$@" "$work/body" >/dev/null || wrong "the response does not satisfy: ${*: -1}"
}

wrong() {
    printf '\nNot as documented: %s\n' "$*" >&2
    exit 1
}

# save STATUS CURL-ARGUMENTS…: saves the notes and metadata, with the parts in the order of the notestamp client: media,
# content, metadata. The text `null` instead of a media file means: no media in this save.
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

step "Sign in: the response sets two cookies and has the list of projects, which is empty"
request 200 -X POST "$BASE/auth/signin" --json "{\"username\": \"$email\", \"password\": \"$password\"}"
promised '.directory == []'

step "Save a project: a recording and the notes on it"
save 200 --form "mediaFile=@$media/recording.mp3"
promised --argjson size "$(wc -c <"$media/recording.mp3")" 'length == 1 and .[0].mediaSize == $size'
promised --arg digest "$(sha256sum "$media/recording.mp3" | cut -d' ' -f1)" '.[0].mediaDigest == $digest'

step "List the projects"
request 200 "$BASE/home/list"
promised 'map(.title) == ["A first lecture"]'

step "Open the project: its metadata, and its notes byte for byte as they were saved"
request 200 --get "$BASE/home/open" --data-urlencode 'name=A first lecture'
jq --join-output .content "$work/body" | cmp - "$media/notes.json" || wrong "the notes have changed"
revision=$(header etag)
src=$(jq --raw-output .metadata.src "$work/body")

step "Read a range of 10,000 bytes from the middle of $src"
request 206 --range 20000-29999 "$src"
printf '   content-range: %s\n' "$(header content-range)"
[[ $(header content-type) == audio/mpeg ]] || wrong "the media type is $(header content-type)"
tail -c +20001 "$media/recording.mp3" | head -c 10000 >"$work/expected"
cmp "$work/body" "$work/expected" || wrong "the bytes differ from those of the file"

step "Save again, on condition that the project still has the revision $revision"
save 200 --header "If-Match: $revision" --form-string mediaFile=null
promised --arg digest "$(sha256sum "$media/recording.mp3" | cut -d' ' -f1)" '.[0].mediaDigest == $digest'

step "Save once more with the same precondition: the project has a newer revision now, so the save is refused"
save 412 --header "If-Match: $revision" --form-string mediaFile=null
[[ -n $(header etag) && $(header etag) != "$revision" ]] || wrong "the response does not have the current revision"

step "Delete the project"
request 200 -X DELETE --get "$BASE/home/delete" --data-urlencode 'name=A first lecture'
promised '. == []'
request 404 --get "$BASE/home/open" --data-urlencode 'name=A first lecture'

step "Sign out: after that, the list is refused"
cp "$work/cookies" "$work/old-cookies"
request 200 -X DELETE "$BASE/auth/signout"
request 401 "$BASE/home/list"

step "Copies of the old cookies are refused too"
cp "$work/old-cookies" "$work/cookies"
request 401 "$BASE/home/list"

step "Sign in again, and remove the account with all its data"
request 200 -X POST "$BASE/auth/signin" --json "{\"username\": \"$email\", \"password\": \"$password\"}"
request 200 -X DELETE "$BASE/auth/remove"
request 401 -X POST "$BASE/auth/signin" --json "{\"username\": \"$email\", \"password\": \"$password\"}"

step "Every response was as documented."
