// Drives mqtt.js with mqtt-level-store: a message is stored when LevelDB has it in
// its log, which is not synced.
'use strict'
const fs = require('fs')
const mqtt = require('mqtt')
const stores = require('mqtt-level-store')
const { client } = require('./client')
const { serve } = require('./driver')

serve(settings => {
  fs.mkdirSync(settings.dir, { recursive: true })
  return client(mqtt, stores(settings.dir), settings)
})
