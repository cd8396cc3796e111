<#
.SYNOPSIS
Lets the service account read jpegPhoto and mS-DS-ConsistencyGuid of the people below the OUs that are named.

.DESCRIPTION
Everybody who signs in may read thumbnailPhoto, but not these two: unless the account may, they look empty. The account
gets Read property on just these attributes of user objects, inherited by all below each OU; nothing else changes.
To undo it: dsacls OU /R ACCOUNT takes all of the account's entries on that OU away.

People with adminCount=1 do not inherit from their OU. Where they should have photos too, name AdminSDHolder
(CN=AdminSDHolder,CN=System,DC=...) with -OnObject, knowing that it covers every protected account.

Needs dsacls (RSAT, or a domain controller), and somebody who may change the OU's permissions.

.EXAMPLE
.\grant-read.ps1 -Account 'CONTOSO\svc-photo' -OU 'OU=People,DC=contoso,DC=com', 'OU=Shared mailboxes,DC=contoso,DC=com'

.EXAMPLE
.\grant-read.ps1 -Account 'CONTOSO\svc-photo$' -OU 'OU=People,DC=contoso,DC=com' -WhatIf
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    # Who reads, as DOMAIN\name; a gMSA ends with $.
    [Parameter(Mandatory)]
    [ValidatePattern('^[^\\]+\\[^\\]+$')]
    [string] $Account,

    # The OUs (or the domain's root), each as a DN.
    [Parameter(Mandatory)]
    [ValidatePattern('^(OU|CN|DC)=.+')]
    [string[]] $OU,

    # What may be read; another LDAP_ANCHOR or LDAP_PHOTO_ATTRIBUTES needs other names here.
    [string[]] $Attribute = @('jpegPhoto', 'mS-DS-ConsistencyGuid'),

    # A domain controller to ask; by default any of the own domain.
    [string] $Server,

    # Grant on the object itself instead of the people below it (for AdminSDHolder).
    [switch] $OnObject
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

if (-not (Get-Command -Name dsacls.exe -ErrorAction SilentlyContinue)) {
    throw 'dsacls.exe is not here. Install the RSAT tools for AD DS, or run this on a domain controller.'
}

foreach ($unit in $OU) {
    $target = if ($Server) { "\\$Server\$unit" } else { $unit }
    foreach ($name in $Attribute) {
        if (-not $PSCmdlet.ShouldProcess($unit, "Let $Account read $name")) {
            continue
        }
        # RP is Read property. Sub-objects only, and of these only users; the object itself for AdminSDHolder.
        $grant = if ($OnObject) { "${Account}:RP;$name" } else { "${Account}:RP;$name;user" }
        $reach = if ($OnObject) { @() } else { @('/I:S') }
        $said = & dsacls.exe $target @reach /G $grant
        if ($LASTEXITCODE -ne 0) {
            throw "dsacls refused ${unit}: $(@($said) | Select-Object -Last 1)"
        }
        Write-Host "$Account may read $name below $unit."
    }
}
Write-Host 'Now `photo-connector check` should count photos and anchors; domain controllers need a moment to replicate.'
