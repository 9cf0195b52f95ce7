/* Tell the server which time zone the browser is in, so that it can draw local times. */
document.cookie = `baton_zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; samesite=lax`;
