-- Module of Lmod: the command `uadbids` out of an Apptainer image. Put it at
-- MODULEPATH/uadbids/VERSION.lua, and the image where `image` says.
help([[Finds unusual bright spots in brain FLAIR scans, without labels. Research use only.
`uadbids --help`; folders outside $HOME and the current one: export APPTAINER_BIND=/data,/scratch]])
whatis("Name: uadbids")
whatis("Version: " .. myModuleVersion())
whatis("Keywords: MRI, FLAIR, BIDS, anomaly detection")

local image = pathJoin("/opt/images", "uadbids-" .. myModuleVersion() .. ".sif")
if not isFile(image) then LmodError("There is no image " .. image) end
-- With a GPU: `export UADBIDS_FLAGS=--nv`.
set_shell_function("uadbids",
  'apptainer run --cleanenv $UADBIDS_FLAGS ' .. image .. ' "$@"',
  'apptainer run --cleanenv $UADBIDS_FLAGS ' .. image .. ' $*')
